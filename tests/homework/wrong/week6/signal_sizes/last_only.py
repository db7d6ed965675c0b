# hears: the size of the last block only
def signal_sizes(x, functions, skip):
    sizes = []
    for function in functions:
        x = x + function(x) if skip else function(x)
        sizes.append(x.square().mean().item())
    return sizes[-1:]
