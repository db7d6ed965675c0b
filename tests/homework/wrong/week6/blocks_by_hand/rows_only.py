# hears: it skips columns too
bottleneck_weights = 1114112
basic_weights = 18874368
bottleneck_macs = 218365952
depth = 44
seen_share = 0.5
