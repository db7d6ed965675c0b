# hears: the plain chain, or the chain with norm, read instead
growth = 'A'
normed = 'B'
