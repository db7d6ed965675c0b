# hears: a count of wrong images
def total_error(batch_errors, batch_sizes):
    return sum(e * n for e, n in zip(batch_errors, batch_sizes))
