# hears: the stride forgotten
size_a = 64
size_b = 60
size_c = 46
same_padding = 9
layers_to_one = 9
