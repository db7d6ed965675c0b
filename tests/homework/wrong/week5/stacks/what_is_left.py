# hears: the share that is left
layers_for_15 = 7
fewer = 55
more = 181
stem_single = 9408
stem_stack = 75456
