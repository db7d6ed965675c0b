def total_error(batch_errors, batch_sizes):
    wrong = sum(round(error * size) for error, size in zip(batch_errors, batch_sizes))
    return wrong / sum(batch_sizes)
