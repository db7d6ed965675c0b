# hears: output_size(size=4, kernel_size=5, stride=1, padding=1) stopped with ValueError
def output_size(size, kernel_size, stride=1, padding=0):
    if kernel_size > size + padding:
        raise ValueError("too large")
    if kernel_size > size:
        raise ValueError("too large")
    return (size + 2 * padding - kernel_size) // stride + 1
