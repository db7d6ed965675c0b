# hears: the bias forgotten
def conv1x1(maps, weight, bias):
    return torch.einsum('mc,nchw->nmhw', weight, maps)
