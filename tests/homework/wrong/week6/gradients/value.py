# hears: the value of y
grad_x = 0.5
grad_w1 = -0.5
closed_x = 2
paths = 4096
paths_left = 2048
