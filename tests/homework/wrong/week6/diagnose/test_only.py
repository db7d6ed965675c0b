# hears: the training error not looked at
def diagnose(shallow, deep):
    return 'overfitting' if deep[1] > shallow[1] else 'fine'
