# hears: one output map only
conv_units = 1024
conv_weights = 1200
conv_connections = 76800
fc_weights = 50331648
