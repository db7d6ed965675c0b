# hears: values deleted at test time
def paper_dropout(values, p, training, noise):
    return values * (noise >= p)
