# hears: the padding forgotten
def grouped_conv(images, weight, groups, padding=0):
    outputs = [F.conv2d(maps, kernels) for maps, kernels in zip(images.chunk(groups, dim=1), weight.chunk(groups))]
    return torch.cat(outputs, dim=1)
