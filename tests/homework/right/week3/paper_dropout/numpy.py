def paper_dropout(values, p, training, noise):
    import numpy as np

    return np.where(noise.numpy() >= p, values.numpy(), 0) if training else values.numpy() * (1 - p)
