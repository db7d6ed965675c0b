# hears: one too many
def output_size(size, kernel_size, stride=1, padding=0):
    if kernel_size > size + 2 * padding:
        raise ValueError
    return (size + 2 * padding - kernel_size + 1) // stride + 1
