# hears: one convolution in every stage
def stage_parameters(counts, in_channels=3):
    totals = []
    for count, width in zip(counts, (64, 128, 256, 512, 512)):
        first = 9 * in_channels * width + width
        others = 9 * width * width + width
        totals.append(first)
        in_channels = width
    return totals
