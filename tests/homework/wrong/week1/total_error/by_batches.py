# hears: wrong images divided by the number of batches
def total_error(batch_errors, batch_sizes):
    return sum(e * n for e, n in zip(batch_errors, batch_sizes)) / len(batch_sizes)
