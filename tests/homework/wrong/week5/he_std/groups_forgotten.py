# hears: the groups forgotten
def he_std(layer):
    inputs = layer.weight[0].numel()
    if isinstance(layer, nn.Conv2d):
        inputs *= layer.groups
    return (2 / inputs) ** 0.5
