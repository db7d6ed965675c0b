# hears: every block fed with x
def signal_sizes(x, functions, skip):
    return [((x if skip else 0) + f(x)).square().mean().item() for f in functions]
