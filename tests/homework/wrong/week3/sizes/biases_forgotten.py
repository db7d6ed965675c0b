# hears: the biases forgotten
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_params = 307200
conv3_params = 884736
fc6_params = 37748736
