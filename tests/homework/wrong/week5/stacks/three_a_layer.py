# hears: every layer adding 3 pixels
layers_for_15 = 5
fewer = 45
more = 81
stem_single = 9408
stem_stack = 75456
