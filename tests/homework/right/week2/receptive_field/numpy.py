def receptive_field(layers):
    import numpy as np

    kernels, strides = np.array(layers).T
    apart = np.concatenate([[1], np.cumprod(strides)[:-1]])
    return 1 + ((kernels - 1) * apart).sum()
