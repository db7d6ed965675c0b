# hears: some of them lie two or four blocks apart
growth = 'C'
normed = 'B'
