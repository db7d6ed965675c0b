# hears: rows and columns of the kernel swapped
correlated = 1
convolved = 2
