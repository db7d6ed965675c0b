# hears: one too many
def output_size(size, kernel_size, stride=1, padding=0):
    import math

    return math.ceil((size + 2 * padding - kernel_size) / stride) + 1
