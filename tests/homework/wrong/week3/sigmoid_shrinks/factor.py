# hears: you entered 6000
sigmoid_shrinks = 6000
