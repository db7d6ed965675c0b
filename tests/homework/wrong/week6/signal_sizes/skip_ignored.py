# hears: the skip ignored
def signal_sizes(x, functions, skip):
    sizes = []
    for function in functions:
        x = function(x)
        sizes.append(x.square().mean().item())
    return sizes
