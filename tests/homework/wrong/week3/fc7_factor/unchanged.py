# hears: nothing changed
fc7_factor = 1
