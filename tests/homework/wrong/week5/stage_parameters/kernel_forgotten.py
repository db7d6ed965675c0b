# hears: the kernel's 3 x 3 forgotten
def stage_parameters(counts, in_channels=3):
    totals = []
    for count, width in zip(counts, (64, 128, 256, 512, 512)):
        first = in_channels * width + width
        others = width * width + width
        totals.append(first + (count - 1) * others)
        in_channels = width
    return totals
