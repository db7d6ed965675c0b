# hears: the first blocks only, or the chain without norm
growth = 'B'
normed = 'C'
