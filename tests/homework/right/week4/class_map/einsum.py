def class_map(maps, weight, label):
    return torch.einsum("nchw,c->nhw", maps, weight[label])
