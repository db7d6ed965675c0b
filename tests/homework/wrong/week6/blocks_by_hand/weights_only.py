# hears: each is used at 14 x 14 positions
bottleneck_weights = 1114112
basic_weights = 18874368
bottleneck_macs = 1114112
depth = 44
seen_share = 0.25
