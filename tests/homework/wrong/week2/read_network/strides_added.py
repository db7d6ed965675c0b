# hears: the strides added
rf_size = 26
rf_stride = 7
first_column = 8
last_column = 33
