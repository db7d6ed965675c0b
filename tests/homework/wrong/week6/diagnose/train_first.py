# hears: the test errors not compared first
def diagnose(shallow, deep):
    if deep[0] > shallow[0]:
        return 'degradation'
    return 'overfitting' if deep[1] > shallow[1] else 'fine'
