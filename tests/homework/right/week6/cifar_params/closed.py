def cifar_params(n, in_channels=3, classes=10):
    first = 9 * in_channels * 16 + 32
    same = sum((2 * n - 1) * (9 * w * w + 2 * w) for w in (16, 32, 64))
    changing = sum(9 * a * b + 2 * b for a, b in ((16, 16), (16, 32), (32, 64)))
    return first + same + changing + 65 * classes
