def module_macs(in_channels, size, widths):
    a, b, c, d, e, f = widths
    layers = [
        (in_channels, a, 1),
        (in_channels, b, 1),
        (b, c, 3),
        (in_channels, d, 1),
        (d, e, 5),
        (in_channels, f, 1),
    ]
    return size * size * sum(i * o * k * k for i, o, k in layers)
