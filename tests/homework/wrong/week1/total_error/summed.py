# hears: a sum of errors
def total_error(batch_errors, batch_sizes):
    return sum(batch_errors)
