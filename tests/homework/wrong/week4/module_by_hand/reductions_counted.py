# hears: the reductions counted
out_channels = 624
naive_channels = 1040
five_direct = 112896000
five_reduced = 5268480
widest = 342
