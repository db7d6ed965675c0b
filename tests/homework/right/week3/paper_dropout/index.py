def paper_dropout(values, p, training, noise):
    output = values.clone()
    if training:
        output[noise < p] = 0
    else:
        output *= 1 - p
    return output
