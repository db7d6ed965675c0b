# hears: the first fully connected layer only
more_in_19 = 5309696
fc_share = 74
