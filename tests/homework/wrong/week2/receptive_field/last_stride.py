# hears: only the last stride counted
def receptive_field(layers):
    size, apart = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * apart
        apart = stride
    return size
