# hears: only left and right of the kernel swapped
correlated = 7
convolved = 8
