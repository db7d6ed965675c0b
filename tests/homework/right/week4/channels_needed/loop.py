def channels_needed(maps, share):
    rows = maps.transpose(0, 1).flatten(1)
    variances = torch.linalg.svdvals(rows - rows.mean(dim=1, keepdim=True)) ** 2
    total, number = 0.0, 0
    while total < share * variances.sum():
        total += variances[number]
        number += 1
    return number
