# hears: they read their reductions
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return size**2 * in_channels * (one + reduce3 + reduce5 + pool + 9 * three + 25 * five)
