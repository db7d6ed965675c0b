# hears: 64 channels into the first as well
layers_for_15 = 7
fewer = 45
more = 81
stem_single = 200704
stem_stack = 110592
