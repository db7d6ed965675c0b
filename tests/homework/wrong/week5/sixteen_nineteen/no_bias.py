# hears: the biases forgotten
more_in_19 = 5308416
fc_share = 89
