# hears: Glorot's rule
def he_std(layer):
    return (2 / (layer.weight[0].numel() + layer.weight[:, 0].numel())) ** 0.5
