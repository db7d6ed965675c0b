# hears: pool5 forgotten
positions_224 = 54
padding_224 = 2
fc6_inputs = 43264
conv2_params = 307456
conv3_params = 885120
fc6_params = 177213440
