def stage_parameters(counts, in_channels=3):
    totals = []
    for width, count in zip((64, 128, 256, 512, 512), counts):
        widths = [in_channels] + [width] * count
        layers = [nn.Conv2d(a, b, 3, device="meta") for a, b in zip(widths, widths[1:])]
        totals.append(sum(p.numel() for layer in layers for p in layer.parameters()))
        in_channels = width
    return totals
