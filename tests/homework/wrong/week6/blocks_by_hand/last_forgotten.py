# hears: the last 1x1 forgotten
bottleneck_weights = 851968
basic_weights = 18874368
bottleneck_macs = 166985728
depth = 44
seen_share = 0.25
