# hears: the input channels forgotten
conv_units = 16384
conv_weights = 400
conv_connections = 409600
fc_weights = 50331648
