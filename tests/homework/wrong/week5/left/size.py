# hears: the size itself
left = 1e-13
