# hears: batch norm makes them useless
def cifar_params(n, in_channels=3, classes=10):
    total = in_channels * 9 * 16 + 3 * 16
    channels = 16
    for width in (16, 32, 64):
        for _ in range(n):
            total += 9 * channels * width + 9 * width * width + 6 * width
            channels = width
    return total + 64 * classes + classes
