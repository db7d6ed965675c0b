# hears: kernels of 3 and 5 weights
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return size**2 * (in_channels * (one + reduce3 + reduce5 + pool) + 3 * reduce3 * three + 5 * reduce5 * five)
