# hears: beginning with 0 pixels
def receptive_field(layers):
    size, apart = 0, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * apart
        apart *= stride
    return size
