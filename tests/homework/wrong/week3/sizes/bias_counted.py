# hears: the bias counted
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_weights = 307200
conv3_weights = 884736
fc6_weights = 37752832
