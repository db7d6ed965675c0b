import numpy

design = list(numpy.array([1, 2, 2, 1, 1]))
