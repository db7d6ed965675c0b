# hears: without padding the maps would be 23 x 23
conv1_units = 290400
conv4_units = 64896
conv2_connections = 223948800
conv2_slip = "A"
