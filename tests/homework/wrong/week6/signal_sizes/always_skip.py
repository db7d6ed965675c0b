# hears: a skip though there is none
def signal_sizes(x, functions, skip):
    sizes = []
    for function in functions:
        x = x + function(x)
        sizes.append(x.square().mean().item())
    return sizes
