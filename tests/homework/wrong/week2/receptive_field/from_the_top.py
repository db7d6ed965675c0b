# hears: the layers taken from the top
def receptive_field(layers):
    size, apart = 1, 1
    for kernel_size, stride in reversed(layers):
        size += (kernel_size - 1) * apart
        apart *= stride
    return size
