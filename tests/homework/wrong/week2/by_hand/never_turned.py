# hears: the kernel as it is
correlated = 7
convolved = -2
