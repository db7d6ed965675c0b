# hears: the reduction's own cost forgotten
out_channels = 512
naive_channels = 928
five_direct = 112896000
five_reduced = 3763200
widest = 479
