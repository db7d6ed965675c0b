# hears: all weights of the layer
def he_std(layer):
    return (2 / layer.weight.numel()) ** 0.5
