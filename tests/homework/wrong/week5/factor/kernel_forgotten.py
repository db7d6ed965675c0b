# hears: the kernel's size forgotten
factor = 0.04
