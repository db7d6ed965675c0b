# hears: the kernel's size forgotten
def he_std(layer):
    inputs = layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
    return (2 / inputs) ** 0.5
