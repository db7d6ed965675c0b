# hears: the groups forgotten
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_weights = 614400
conv3_weights = 884736
fc6_weights = 37748736
