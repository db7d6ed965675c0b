# hears: multiplied by a half
def paper_dropout(values, p, training, noise):
    return values * (noise >= p) if training else values * 0.5
