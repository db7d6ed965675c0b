# hears: one bias for all
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_params = 307201
conv3_params = 884737
fc6_params = 37752832
