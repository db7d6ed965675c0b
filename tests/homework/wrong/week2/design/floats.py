# hears: entries that are not whole numbers
design = [1.0, 2.0, 2.0, 1.0, 1.0]
