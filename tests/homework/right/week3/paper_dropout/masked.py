def paper_dropout(values, p, training, noise):
    if not training:
        return values - values * p
    return values.masked_fill(noise < p, 0.0)
