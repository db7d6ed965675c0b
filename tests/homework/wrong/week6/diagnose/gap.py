# hears: the gap between test and training error
def diagnose(shallow, deep):
    gap, deep_gap = shallow[1] - shallow[0], deep[1] - deep[0]
    return 'overfitting' if deep_gap > gap else 'fine'
