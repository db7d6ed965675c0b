# hears: the square of the mean
def signal_sizes(x, functions, skip):
    sizes = []
    for function in functions:
        x = x + function(x) if skip else function(x)
        sizes.append(x.mean().square().item())
    return sizes
