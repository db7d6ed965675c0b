def output_size(size, kernel_size, stride=1, padding=0):
    starts = range(0, size + 2 * padding - kernel_size + 1, stride)
    if not starts:
        raise ValueError("the kernel does not fit")
    return len(starts)
