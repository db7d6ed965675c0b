def cifar_params(n, in_channels=3, classes=10):
    widths = [in_channels, 16] + [16] * 2 * n + [32] * 2 * n + [64] * 2 * n
    convolutions = sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:]))
    return convolutions + 64 * classes + classes
