# hears: the mean is no logit any more
def class_map(maps, weight, label):
    return (maps * weight[label][:, None, None]).sum(dim=1).relu()
