def signal_sizes(x, functions, skip):
    sizes = []
    for f in functions:
        y = f(x)
        if skip:
            y = y + x
        x = y
        sizes.append(float((x**2).mean()))
    return sizes
