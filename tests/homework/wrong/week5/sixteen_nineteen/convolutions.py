# hears: the share of the convolutions
more_in_19 = 5309696
fc_share = 11
