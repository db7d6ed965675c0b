# hears: fc6_params counts the weights alone
positions_224 = 54
padding_224 = 2
fc6_inputs = 9216
conv2_params = 307456
conv3_params = 885120
fc6_params = 37748736
