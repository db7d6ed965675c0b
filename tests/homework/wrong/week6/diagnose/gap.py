# hears: the test errors not compared, or the wrong way round
def diagnose(shallow, deep):
    gap, deep_gap = shallow[1] - shallow[0], deep[1] - deep[0]
    return 'overfitting' if deep_gap > gap else 'fine'
