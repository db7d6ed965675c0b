# hears: the factor itself
growth = 2
