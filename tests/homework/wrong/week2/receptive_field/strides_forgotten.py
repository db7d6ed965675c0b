# hears: the strides forgotten
def receptive_field(layers):
    size, apart = 1, 1
    for kernel_size, stride in layers:
        size += kernel_size - 1
    return size
