# hears: one too many
def channels_needed(maps, share):
    rows = maps.transpose(0, 1).flatten(1)
    variances = torch.linalg.svdvals(rows - rows.mean(dim=1, keepdim=True)) ** 2
    return int((variances.cumsum(0) / variances.sum() < share).sum()) + 2
