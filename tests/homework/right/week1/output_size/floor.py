def output_size(size, kernel_size, stride=1, padding=0):
    import math

    if kernel_size > size + 2 * padding:
        raise ValueError
    return math.floor((size - kernel_size + 2 * padding) / stride) + 1
