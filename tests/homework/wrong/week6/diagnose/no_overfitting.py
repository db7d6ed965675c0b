# hears: equal training errors called higher, or not compared
def diagnose(shallow, deep):
    return 'degradation' if deep[1] > shallow[1] else 'fine'
