def stage_parameters(counts, in_channels=3):
    totals = []
    for stage, count in enumerate(counts):
        width = (64, 128, 256, 512, 512)[stage]
        total = 0
        for _ in range(count):
            total += in_channels * width * 3 * 3 + width
            in_channels = width
        totals.append(total)
    return totals
