# hears: they speak against the class
def class_map(maps, weight, label):
    return (maps * weight[label].relu()[:, None, None]).sum(dim=1)
