# hears: one of the two towers
positions_224 = 54
padding_224 = 2
fc6_inputs = 4608
conv2_params = 307456
conv3_params = 885120
fc6_params = 18878464
