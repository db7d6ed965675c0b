# hears: the 1x1 after the pooling forgotten
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return size**2 * (in_channels * (one + reduce3 + reduce5) + 9 * reduce3 * three + 25 * reduce5 * five)
