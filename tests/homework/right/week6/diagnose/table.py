def diagnose(shallow, deep):
    worse_train, worse_test = (b > a for a, b in zip(shallow, deep))
    words = {(False, True): "overfitting", (True, True): "degradation"}
    return words.get((worse_train, worse_test), "fine")
