def he_std(layer):
    import math

    fan_in = math.prod(layer.weight.shape[1:])
    return math.sqrt(2 / fan_in)
