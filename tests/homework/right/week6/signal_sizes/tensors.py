def signal_sizes(x, functions, skip):
    sizes = []
    for f in functions:
        x = f(x) + x if skip else f(x)
        sizes.append(x.detach().square().mean())
    return torch.stack(sizes) if sizes else []
