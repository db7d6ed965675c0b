# hears: the channels taken for the last axis
def to_convolution(linear, channels, size):
    convolution = nn.Conv2d(channels, linear.out_features, size)
    convolution.weight.data = linear.weight.data.reshape(-1, size, size, channels).permute(0, 3, 1, 2)
    convolution.bias.data = linear.bias.data
    return convolution
