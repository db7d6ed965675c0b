# hears: every convolution of a stage reading the stage before
def stage_parameters(counts, in_channels=3):
    totals = []
    for count, width in zip(counts, (64, 128, 256, 512, 512)):
        first = 9 * in_channels * width + width
        others = first
        totals.append(first + (count - 1) * others)
        in_channels = width
    return totals
