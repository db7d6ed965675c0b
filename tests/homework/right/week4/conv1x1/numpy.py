def conv1x1(maps, weight, bias):
    import numpy as np

    return np.einsum("mc,nchw->nmhw", weight.numpy(), maps.numpy()) + bias.numpy()[:, None, None]
