# hears: each is used at 14 x 14 positions
out_channels = 512
naive_channels = 928
five_direct = 576000
five_reduced = 26880
widest = 342
