# hears: the paper's p = 0.5
fc7_factor = 0.5
