# hears: kept and deleted swapped
def paper_dropout(values, p, training, noise):
    return values * (noise < p) if training else values * (1 - p)
