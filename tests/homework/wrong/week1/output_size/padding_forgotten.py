# hears: the padding forgotten
def output_size(size, kernel_size, stride=1, padding=0):
    return (size - kernel_size) // stride + 1
