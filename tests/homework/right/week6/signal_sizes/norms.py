def signal_sizes(x, functions, skip):
    sizes = []
    for f in functions:
        x = torch.add(x, f(x)) if skip else f(x)
        sizes.append(torch.linalg.vector_norm(x).item() ** 2 / x.numel())
    return tuple(sizes)
