# hears: as PyTorch does
def paper_dropout(values, p, training, noise):
    return values * (noise >= p) / (1 - p) if training else values
