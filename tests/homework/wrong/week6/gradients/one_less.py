# hears: every path through the deleted branch is gone
grad_x = 0.25
grad_w1 = -0.5
closed_x = 1
paths = 4096
paths_left = 4095
