# hears: the last gap is not part of it
size_a = 32
size_b = 59
size_c = 15
same_padding = 10
layers_to_one = 9
