# hears: conv3 is where both towers meet
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_weights = 307200
conv3_weights = 442368
fc6_weights = 37748736
