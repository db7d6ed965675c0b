# hears: equal training errors called higher
def diagnose(shallow, deep):
    if deep[1] <= shallow[1]:
        return "fine"
    return "degradation" if deep[0] >= shallow[0] else "overfitting"
