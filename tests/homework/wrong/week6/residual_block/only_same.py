# hears: no shortcut where the shape changes
def residual_block(x, weight1, weight2, stride=1):
    residual = F.conv2d(F.relu(F.conv2d(x, weight1, stride=stride, padding=1)), weight2, padding=1)
    return F.relu(residual + x if residual.shape == x.shape else residual)
