# hears: the work left to torch
def grouped_conv(images, weight, groups, padding=0):
    return F.conv2d(images, weight, padding=padding, groups=groups)
