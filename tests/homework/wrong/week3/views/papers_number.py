# hears: the paper's own number
views = 2048
