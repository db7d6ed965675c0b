# hears: only the test errors compared
def diagnose(shallow, deep):
    return 'degradation' if deep[1] > shallow[1] else 'fine'
