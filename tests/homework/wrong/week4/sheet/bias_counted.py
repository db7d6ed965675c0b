# hears: the bias counted
wrong_lines = 'CB'
right_channels = 1024
right_head = 1025000
