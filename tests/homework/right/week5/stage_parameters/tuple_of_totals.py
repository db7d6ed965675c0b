def stage_parameters(counts, in_channels=3):
    widths = [64, 128, 256, 512, 512][: len(counts)]
    inputs = [in_channels, *widths]
    return tuple(w * (9 * i + 9 * w * (c - 1) + c) for i, w, c in zip(inputs, widths, counts))
