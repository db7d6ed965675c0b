def grouped_conv(images, weight, groups, padding=0):
    inside, outside = images.shape[1] // groups, weight.shape[0] // groups
    outputs = []
    for g in range(groups):
        maps = images[:, g * inside : (g + 1) * inside]
        outputs.append(F.conv2d(maps, weight[g * outside : (g + 1) * outside], padding=padding))
    return torch.cat(outputs, dim=1)
