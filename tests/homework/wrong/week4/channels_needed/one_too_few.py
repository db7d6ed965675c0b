# hears: one too few
def channels_needed(maps, share):
    rows = maps.transpose(0, 1).flatten(1)
    values = torch.linalg.svdvals(rows - rows.mean(dim=1, keepdim=True)) ** 2
    return int((values.cumsum(0) / values.sum() < share).sum())
