# hears: put on each side
positions_224 = 54
padding_224 = 3
fc6_inputs = 9216
conv2_params = 307456
conv3_params = 885120
fc6_params = 37752832
