# hears: the strides forgotten
rf_size = 14
rf_stride = 1
first_column = -1
last_column = 12
