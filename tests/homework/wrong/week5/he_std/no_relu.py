# hears: the ReLU forgotten
def he_std(layer):
    return (1 / layer.weight[0].numel()) ** 0.5
