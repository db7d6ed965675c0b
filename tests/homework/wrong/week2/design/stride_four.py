# hears: other strides than 1 and 2
design = [1, 4, 1, 1]
