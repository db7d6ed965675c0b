# hears: a fraction in place of
layers_for_15 = 7
fewer = 0.45
more = 0.81
stem_single = 9408
stem_stack = 75456
