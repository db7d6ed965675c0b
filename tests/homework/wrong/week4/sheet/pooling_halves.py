# hears: it works on each channel by itself
wrong_lines = 'be'
right_channels = 1024
right_head = 1024000
