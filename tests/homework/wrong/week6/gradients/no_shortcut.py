# hears: the shortcut forgotten
grad_x = -0.75
grad_w1 = -0.5
closed_x = 0
paths = 4096
paths_left = 2048
