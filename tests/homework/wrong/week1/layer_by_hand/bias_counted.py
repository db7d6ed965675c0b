# hears: the bias counted
conv_units = 16384
conv_weights = 1216
conv_connections = 1245184
fc_weights = 50331648
