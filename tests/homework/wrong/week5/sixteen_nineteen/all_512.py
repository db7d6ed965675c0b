# hears: the one in stage 3 has 256
more_in_19 = 7079424
fc_share = 89
