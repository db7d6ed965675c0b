# hears: the share that was deleted
fc7_factor = 0.2
