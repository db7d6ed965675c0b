# hears: the mean over the channels
def conv1x1(maps, weight, bias):
    return torch.einsum('mc,nchw->nmhw', weight, maps) / maps.shape[1] + bias[:, None, None]
