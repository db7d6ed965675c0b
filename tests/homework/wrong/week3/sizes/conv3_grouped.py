# hears: conv3 is where both towers meet
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_params = 307456
conv3_params = 442752
fc6_params = 37752832
