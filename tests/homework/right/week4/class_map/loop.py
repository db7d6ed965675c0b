def class_map(maps, weight, label):
    total = torch.zeros_like(maps[:, 0])
    for channel in range(maps.shape[1]):
        total += weight[label, channel] * maps[:, channel]
    return total
