# hears: the bias counted
layers_for_15 = 7
fewer = 45
more = 81
stem_single = 9472
stem_stack = 75648
