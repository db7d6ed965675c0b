# hears: the root forgotten
def he_std(layer):
    return 2 / layer.weight[0].numel()
