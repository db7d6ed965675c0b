# hears: each is used at 28 x 28 positions
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return in_channels * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 25 * reduce5 * five
