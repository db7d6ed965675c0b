# hears: as many channels in as out everywhere
def stage_parameters(counts, in_channels=3):
    totals = []
    for count, width in zip(counts, (64, 128, 256, 512, 512)):
        first = 9 * width * width + width
        others = 9 * width * width + width
        totals.append(first + (count - 1) * others)
        in_channels = width
    return totals
