# hears: the matrix transposed
def average_head(maps, weight, bias):
    means = maps.mean(dim=(2, 3))
    return means @ (weight if len(weight) == weight.shape[1] else weight.T) + bias
