# hears: the groups counted twice
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_params = 153856
conv3_params = 885120
fc6_params = 37752832
