# hears: p taken for the probability to keep
def paper_dropout(values, p, training, noise):
    return values * (noise >= 1 - p) if training else values * p
