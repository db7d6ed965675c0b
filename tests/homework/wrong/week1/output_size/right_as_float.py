# hears: A whole number is wanted, an int
def output_size(size, kernel_size, stride=1, padding=0):
    return float((size + 2 * padding - kernel_size) // stride + 1)
