# hears: 3 layers with stride 2
design = [2, 2, 2, 1]
