# hears: they multiply
grad_x = 0.25
grad_w1 = -0.5
closed_x = 1
paths = 24
paths_left = 22
