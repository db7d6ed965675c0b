# hears: multiplied by p
def paper_dropout(values, p, training, noise):
    return values * (noise >= p) if training else values * p
