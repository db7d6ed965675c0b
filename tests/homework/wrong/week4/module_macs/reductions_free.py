# hears: the reductions' own cost forgotten
def module_macs(in_channels, size, widths):
    one, reduce3, three, reduce5, five, pool = widths
    return size**2 * (in_channels * (one + pool) + 9 * reduce3 * three + 25 * reduce5 * five)
