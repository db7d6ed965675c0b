# hears: one of AlexNet's two halves
conv1_units = 290400
conv4_units = 32448
conv2_connections = 223948800
conv2_slip = "B"
