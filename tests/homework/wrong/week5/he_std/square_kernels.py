# hears: a square kernel taken for granted
def he_std(layer):
    if isinstance(layer, nn.Linear):
        return (2 / layer.in_features) ** 0.5
    return (2 / (layer.in_channels // layer.groups * layer.kernel_size[0] ** 2)) ** 0.5
