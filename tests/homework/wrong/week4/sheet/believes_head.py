# hears: one wrong line overlooked
wrong_lines = 'B'
right_channels = 1024
right_head = 50176000
