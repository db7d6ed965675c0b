def grouped_conv(images, weight, groups, padding=0):
    maps = torch.split(images, images.shape[1] // groups, dim=1)
    kernels = torch.split(weight, weight.shape[0] // groups)
    return torch.cat([F.conv2d(m, k, None, 1, padding) for m, k in zip(maps, kernels)], 1)
