# hears: the wrong direction
fc7_factor = 1.25
