def residual_block(x, weight1, weight2, stride=1):
    out = F.conv2d(F.relu(F.conv2d(x, weight1, None, stride, 1)), weight2, None, 1, 1)
    out[:, : x.shape[1]] += x[:, :, ::stride, ::stride]
    return F.relu(out)
