# hears: the test errors not compared
def diagnose(shallow, deep):
    return 'degradation' if deep[0] > shallow[0] else 'fine'
