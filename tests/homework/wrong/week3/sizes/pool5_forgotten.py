# hears: pool5 forgotten
positions_224 = 54
padding_224 = 2
fc6_inputs = 43264
conv2_weights = 307200
conv3_weights = 884736
fc6_weights = 177209344
