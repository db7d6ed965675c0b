# hears: the mean of each channel not subtracted
def channels_needed(maps, share):
    rows = maps.transpose(0, 1).flatten(1)
    values = torch.linalg.svdvals(rows) ** 2
    return int((values.cumsum(0) / values.sum() < share).sum()) + 1
