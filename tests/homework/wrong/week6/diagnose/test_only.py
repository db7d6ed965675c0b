# hears: the training errors not compared
def diagnose(shallow, deep):
    return 'overfitting' if deep[1] > shallow[1] else 'fine'
