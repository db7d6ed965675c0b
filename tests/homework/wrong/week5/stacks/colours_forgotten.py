# hears: the colours forgotten
layers_for_15 = 7
fewer = 45
more = 81
stem_single = 3136
stem_stack = 75456
