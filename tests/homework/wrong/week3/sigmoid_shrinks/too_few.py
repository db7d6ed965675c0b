# hears: too few powers of ten
sigmoid_shrinks = 'B'
