# hears: a layer's own stride counted already
def receptive_field(layers):
    size, apart = 1, 1
    for kernel_size, stride in layers:
        apart *= stride
        size += (kernel_size - 1) * apart
    return size
