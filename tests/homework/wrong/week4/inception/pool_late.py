# hears: the 1x1 before the pooling
def inception(maps, one, reduce3, three, reduce5, five, pool):
    relu = F.relu
    a = relu(F.conv2d(maps, one))
    b = relu(F.conv2d(relu(F.conv2d(maps, reduce3)), three, padding=1))
    c = relu(F.conv2d(relu(F.conv2d(maps, reduce5)), five, padding=2))
    d = F.max_pool2d(relu(F.conv2d(maps, pool)), 3, stride=1, padding=1)
    return torch.cat([a, b, c, d], dim=1)
