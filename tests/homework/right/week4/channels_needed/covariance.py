def channels_needed(maps, share):
    points = maps.permute(0, 2, 3, 1).flatten(0, 2).double()
    variances = torch.linalg.eigvalsh(torch.cov(points.T)).flip(0)
    return (variances.cumsum(0) < share * variances.sum()).sum() + 1
