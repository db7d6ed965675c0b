# hears: the strides come too late
design = [1, 1, 1, 2, 2]
