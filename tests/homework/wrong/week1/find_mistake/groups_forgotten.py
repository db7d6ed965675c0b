# hears: the groups forgotten
conv1_units = 290400
conv4_units = 64896
conv2_connections = 447897600
conv2_slip = "B"
