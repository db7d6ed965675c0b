def total_error(batch_errors, batch_sizes):
    import numpy as np

    return np.average(batch_errors, weights=batch_sizes)
