# hears: the receptive field read
growth = "A"
