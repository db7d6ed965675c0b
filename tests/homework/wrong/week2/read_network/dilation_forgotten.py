# hears: the dilation forgotten
rf_size = 22
rf_stride = 4
first_column = 8
last_column = 29
