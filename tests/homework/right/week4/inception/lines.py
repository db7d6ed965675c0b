def inception(maps, one, reduce3, three, reduce5, five, pool):
    a = F.relu(F.conv2d(maps, one))
    b = F.relu(F.conv2d(F.relu(F.conv2d(maps, reduce3)), three, padding=1))
    c = F.relu(F.conv2d(F.relu(F.conv2d(maps, reduce5)), five, padding=2))
    d = F.relu(F.conv2d(F.max_pool2d(maps, 3, 1, 1), pool))
    return torch.cat((a, b, c, d), 1)
