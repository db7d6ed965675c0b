# hears: 2 for the 5x5
def inception(maps, one, reduce3, three, reduce5, five, pool):
    relu = F.relu
    a = relu(F.conv2d(maps, one))
    b = relu(F.conv2d(relu(F.conv2d(maps, reduce3)), three, padding=1))
    c = relu(F.conv2d(relu(F.conv2d(maps, reduce5)), five))
    d = relu(F.conv2d(F.max_pool2d(maps, 3, stride=1, padding=1), pool))
    return torch.cat([a, b, c, d], dim=1)
