# hears: training and test swapped
def paper_dropout(values, p, training, noise):
    return values * (1 - p) if training else values * (noise >= p)
