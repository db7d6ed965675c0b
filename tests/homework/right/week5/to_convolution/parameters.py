def to_convolution(linear, channels, size):
    layer = nn.Conv2d(channels, len(linear.bias), kernel_size=size)
    layer.weight = nn.Parameter(linear.weight.reshape(len(linear.bias), channels, size, size).clone())
    layer.bias = nn.Parameter(linear.bias.clone())
    return layer
