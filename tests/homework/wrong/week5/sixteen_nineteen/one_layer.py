# hears: one further convolution only
more_in_19 = 2359808
fc_share = 89
