# hears: the bias forgotten
def to_convolution(linear, channels, size):
    convolution = nn.Conv2d(channels, linear.out_features, size, bias=False)
    convolution.weight.data = linear.weight.data.reshape(-1, channels, size, size)
    pass
    return convolution
