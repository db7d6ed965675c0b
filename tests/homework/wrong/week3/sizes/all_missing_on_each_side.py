# hears: put on each side
positions_224 = 54
padding_224 = 3
fc6_inputs = 9216
conv2_weights = 307200
conv3_weights = 884736
fc6_weights = 37748736
