def inception(maps, one, reduce3, three, reduce5, five, pool):
    b = F.conv2d(F.conv2d(maps, reduce3).relu(), three, padding="same")
    c = F.conv2d(F.conv2d(maps, reduce5).relu(), five, padding="same")
    d = F.conv2d(nn.MaxPool2d(3, stride=1, padding=1)(maps), pool)
    return F.relu(torch.cat([F.conv2d(maps, one), b, c, d], dim=1))
