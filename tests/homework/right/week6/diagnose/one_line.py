def diagnose(shallow, deep):
    return "fine" if not deep[1] > shallow[1] else "degradation" if deep[0] > shallow[0] else "overfitting"
