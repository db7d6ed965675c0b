# hears: counted as a 3x3
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return size**2 * (in_channels * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 9 * reduce5 * five)
