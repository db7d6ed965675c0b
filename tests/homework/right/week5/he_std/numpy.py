def he_std(layer):
    import numpy as np

    return np.sqrt(2 * len(layer.weight) / layer.weight.numel())
