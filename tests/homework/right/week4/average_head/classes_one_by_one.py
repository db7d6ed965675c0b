def average_head(maps, weight, bias):
    means = maps.flatten(2).sum(2) / (maps.shape[2] * maps.shape[3])
    return torch.stack([means @ row + b for row, b in zip(weight, bias)], dim=1)
