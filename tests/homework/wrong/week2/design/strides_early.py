# hears: the strides come too early
design = [2, 2, 1, 1, 1]
