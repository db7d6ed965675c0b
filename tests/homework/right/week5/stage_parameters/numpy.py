def stage_parameters(counts, in_channels=3):
    import numpy as np

    counts = np.array(counts)
    widths = np.array([64, 128, 256, 512, 512])[: len(counts)]
    inputs = np.concatenate([[in_channels], widths[:-1]])
    return 9 * inputs * widths + 9 * (counts - 1) * widths**2 + counts * widths
