# hears: it has a scale and a shift
def cifar_params(n, in_channels=3, classes=10):
    total = in_channels * 9 * 16 + 16
    channels = 16
    for width in (16, 32, 64):
        for _ in range(n):
            total += 9 * channels * width + 9 * width * width + 2 * width
            channels = width
    return total + 64 * classes + classes
