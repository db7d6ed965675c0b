# hears: the kernel turned
def to_convolution(linear, channels, size):
    convolution = nn.Conv2d(channels, linear.out_features, size)
    convolution.weight.data = linear.weight.data.reshape(-1, channels, size, size).flip(2, 3)
    convolution.bias.data = linear.bias.data
    return convolution
