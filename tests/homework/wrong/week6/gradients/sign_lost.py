# hears: the sign of w2 lost
grad_x = 1 + -0.25 * 3
grad_w1 = 0.25 * 2
closed_x = 1
paths = 2**12
paths_left = 2**11
