def residual_block(x, weight1, weight2, stride=1):
    out = F.conv2d(F.relu(F.conv2d(x, weight1, stride=stride, padding=1)), weight2, padding=1)
    identity = torch.eye(len(weight1), x.shape[1])[:, :, None, None]
    return torch.maximum(out + F.conv2d(x, identity, stride=stride), torch.zeros(()))
