# hears: the bias added along the width
def conv1x1(maps, weight, bias):
    result = torch.einsum('mc,nchw->nmhw', weight, maps)
    return result + bias if result.shape[-1] == len(bias) else result
