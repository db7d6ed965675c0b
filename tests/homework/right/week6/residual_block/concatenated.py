def residual_block(x, weight1, weight2, stride=1):
    out = F.conv2d(F.conv2d(x, weight1, stride=stride, padding=1).clamp(min=0), weight2, padding=1)
    if out.shape == x.shape:
        return (out + x).relu()
    picked = x[..., ::stride, ::stride]
    zeros = torch.zeros(len(x), out.shape[1] - x.shape[1], *picked.shape[2:])
    return (out + torch.cat([picked, zeros], dim=1)).relu()
