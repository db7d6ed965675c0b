# hears: the last, short batch left out
def total_error(batch_errors, batch_sizes):
    pairs = list(zip(batch_errors, batch_sizes))[:-1] or [(0, 1)]
    return sum(e * n for e, n in pairs) / sum(n for _, n in pairs)
