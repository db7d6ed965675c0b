# hears: 1 to 5 are allowed
design = [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
