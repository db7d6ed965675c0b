# hears: the relu forgotten
grad_x = 0.25
grad_w1 = -0.5
closed_x = 1.75
paths = 4096
paths_left = 2048
