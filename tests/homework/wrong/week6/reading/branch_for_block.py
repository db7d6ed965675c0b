# hears: the branch taken for the block
growth = 'B'
normed = 'A'
