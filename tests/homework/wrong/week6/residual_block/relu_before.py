# hears: the ReLU before the addition
def residual_block(x, weight1, weight2, stride=1):
    inner = F.conv2d(x, weight1, stride=stride, padding=1)
    residual = F.conv2d(F.relu(inner), weight2, stride=1, padding=1)
    shortcut = x[:, :, ::stride, ::stride]
    more = residual.shape[1] - shortcut.shape[1]
    shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, more))
    return F.relu(residual) + shortcut
