def cifar_params(n, in_channels=3, classes=10):
    layers, channels = [], in_channels
    for width in [16] * (2 * n + 1) + [32] * 2 * n + [64] * 2 * n:
        layers += [
            nn.Conv2d(channels, width, 3, bias=False, device="meta"),
            nn.BatchNorm2d(width, device="meta"),
        ]
        channels = width
    layers.append(nn.Linear(channels, classes))
    return sum(p.numel() for layer in layers for p in layer.parameters())
