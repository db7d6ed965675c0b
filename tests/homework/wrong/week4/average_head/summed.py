# hears: the sum of each map
def average_head(maps, weight, bias):
    return maps.sum(dim=(2, 3)) @ weight.T + bias
