def to_convolution(linear, channels, size):
    layer = nn.Conv2d(channels, linear.out_features, size)
    weight = linear.weight.detach().unflatten(1, (channels, size, size))
    layer.load_state_dict({"weight": weight, "bias": linear.bias.detach()})
    return layer
