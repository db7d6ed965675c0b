# hears: is the pixel after it
rf_size = 26
rf_stride = 4
first_column = 8
last_column = 34
