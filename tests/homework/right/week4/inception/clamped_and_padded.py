def inception(maps, one, reduce3, three, reduce5, five, pool):
    lowest = F.pad(maps, (1, 1, 1, 1), value=float("-inf"))
    d = F.conv2d(F.max_pool2d(lowest, 3, stride=1), pool).clamp(min=0)
    b = F.conv2d(F.pad(F.conv2d(maps, reduce3).clamp(min=0), (1,) * 4), three).clamp(min=0)
    c = F.conv2d(F.pad(F.conv2d(maps, reduce5).clamp(min=0), (2,) * 4), five).clamp(min=0)
    return torch.cat([F.conv2d(maps, one).clamp(min=0), b, c, d], dim=1)
