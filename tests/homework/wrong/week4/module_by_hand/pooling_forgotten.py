# hears: the pooling branch forgotten
out_channels = 448
naive_channels = 448
five_direct = 112896000
five_reduced = 5268480
widest = 342
