def module_macs(in_channels, size, widths):
    one, r3, three, r5, five, pool = widths
    places = size**2
    total = in_channels * one * places
    total += in_channels * r3 * places + r3 * three * 9 * places
    total += in_channels * r5 * places + r5 * five * 25 * places
    return total + in_channels * pool * places
