# hears: the last step forgotten
size_a = 32
size_b = 60
size_c = 16
same_padding = 9
layers_to_one = 8
