# hears: the bias forgotten
def average_head(maps, weight, bias):
    return maps.mean(dim=(2, 3)) @ weight.T
