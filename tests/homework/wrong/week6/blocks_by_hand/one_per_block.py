# hears: one convolution for each block
bottleneck_weights = 1114112
basic_weights = 18874368
bottleneck_macs = 218365952
depth = 23
seen_share = 0.25
