def diagnose(shallow, deep):
    (train, test), (deep_train, deep_test) = shallow, deep
    if deep_test > train and deep_test > test:
        if deep_train > train:
            return "degradation"
        return "overfitting"
    return "fine"
