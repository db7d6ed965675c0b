def output_size(size, kernel_size, stride=1, padding=0):
    import numpy as np

    room = size + 2 * padding - kernel_size
    if room < 0:
        raise ValueError("too small")
    return np.int64(room // stride + 1)
