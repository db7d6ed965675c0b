# hears: one of the two 3x3
bottleneck_weights = 1114112
basic_weights = 9437184
bottleneck_macs = 218365952
depth = 44
seen_share = 0.25
