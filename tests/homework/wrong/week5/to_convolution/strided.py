# hears: The shape is
def to_convolution(linear, channels, size):
    convolution = nn.Conv2d(channels, linear.out_features, size, stride=size)
    convolution.weight.data = linear.weight.data.reshape(-1, channels, size, size)
    convolution.bias.data = linear.bias.data
    return convolution
