# hears: divided by the stack's weights
layers_for_15 = 7
fewer = 81
more = 45
stem_single = 9408
stem_stack = 75456
