# hears: the padding counted once
def output_size(size, kernel_size, stride=1, padding=0):
    if size + padding < kernel_size:
        raise ValueError
    return (size + padding - kernel_size) // stride + 1
