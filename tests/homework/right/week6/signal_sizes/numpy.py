def signal_sizes(x, functions, skip):
    import numpy

    sizes = []
    for f in functions:
        x = f(x) + skip * x
        sizes.append(numpy.mean(x.numpy() ** 2))
    return numpy.array(sizes)
