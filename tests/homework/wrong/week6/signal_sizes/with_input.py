# hears: the input's own size at the beginning
def signal_sizes(x, functions, skip):
    sizes = [x.square().mean().item()]
    for function in functions:
        x = x + function(x) if skip else function(x)
        sizes.append(x.square().mean().item())
    return sizes
