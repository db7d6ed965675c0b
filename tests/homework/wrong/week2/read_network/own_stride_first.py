# hears: a layer's own stride counted already
rf_size = 31
rf_stride = 4
first_column = 8
last_column = 38
