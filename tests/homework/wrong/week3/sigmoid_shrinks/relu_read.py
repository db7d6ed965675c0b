# hears: the rows of the ReLU read
sigmoid_shrinks = 'A'
