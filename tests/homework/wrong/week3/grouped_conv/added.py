# hears: the parts added
def grouped_conv(images, weight, groups, padding=0):
    outputs = [F.conv2d(maps, kernels, padding=padding) for maps, kernels in zip(images.chunk(groups, dim=1), weight.chunk(groups))]
    return sum(outputs)
