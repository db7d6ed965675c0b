# hears: a position that does not fit as a whole
positions_224 = 54.25
padding_224 = 1.5
fc6_inputs = 9216
conv2_weights = 307200
conv3_weights = 884736
fc6_weights = 37748736
