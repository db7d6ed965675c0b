# hears: rounding up
out_channels = 512
naive_channels = 928
five_direct = 112896000
five_reduced = 5268480
widest = 343
