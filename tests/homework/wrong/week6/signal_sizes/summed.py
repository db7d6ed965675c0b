# hears: the sum of the squares
def signal_sizes(x, functions, skip):
    sizes = []
    for function in functions:
        x = x + function(x) if skip else function(x)
        sizes.append(x.square().sum().item())
    return sizes
