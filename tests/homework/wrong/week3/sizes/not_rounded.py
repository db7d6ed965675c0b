# hears: a position that does not fit as a whole
positions_224 = 54.25
padding_224 = 1.5
fc6_inputs = 9216
conv2_params = 307456
conv3_params = 885120
fc6_params = 37752832
