# hears: upside down
def he_std(layer):
    return (layer.weight[0].numel() / 2) ** 0.5
