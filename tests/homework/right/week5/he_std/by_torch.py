def he_std(layer):
    return nn.init.calculate_gain("relu") / nn.init._calculate_correct_fan(layer.weight, "fan_in") ** 0.5
