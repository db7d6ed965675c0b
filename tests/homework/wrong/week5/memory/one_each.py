# hears: one convolution for each stage
first_values = 3211264
all_values = 6121472
batch = 11
