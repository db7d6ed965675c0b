# hears: the padding counted once
conv_units = 14400
conv_weights = 1200
conv_connections = 1080000
fc_weights = 44236800
