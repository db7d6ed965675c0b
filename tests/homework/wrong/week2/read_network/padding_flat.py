# hears: the paddings added as they are
rf_size = 26
rf_stride = 4
first_column = 14
last_column = 39
