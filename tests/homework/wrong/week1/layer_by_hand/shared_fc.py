# hears: no weight is shared
conv_units = 16384
conv_weights = 1200
conv_connections = 1228800
fc_weights = 1200
