# hears: own number
conv1_units = 253440
conv4_units = 64869
conv2_connections = 111974400
conv2_slip = "B"
