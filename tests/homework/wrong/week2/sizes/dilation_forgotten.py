# hears: the dilation forgotten
size_a = 32
size_b = 62
size_c = 17
same_padding = 3
layers_to_one = 9
