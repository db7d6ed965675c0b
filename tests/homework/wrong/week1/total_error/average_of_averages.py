# hears: an average of batch averages
def total_error(batch_errors, batch_sizes):
    return sum(batch_errors) / len(batch_errors)
