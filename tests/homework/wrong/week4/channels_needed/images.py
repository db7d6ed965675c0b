# hears: the images in place of the channels
def channels_needed(maps, share):
    rows = maps.flatten(1)
    values = torch.linalg.svdvals(rows - rows.mean(dim=1, keepdim=True)) ** 2
    return int((values.cumsum(0) / values.sum() < share).sum()) + 1
