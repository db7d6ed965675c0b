# hears: the factor of the mean square
factor = 0.0144
