# hears: the kernel turned
correlated = -1
convolved = 6
