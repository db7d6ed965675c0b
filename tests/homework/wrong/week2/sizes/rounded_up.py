# hears: rounding up
size_a = 33
size_b = 60
size_c = 16
same_padding = 9
layers_to_one = 9
