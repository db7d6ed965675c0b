def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    import numpy as np

    scale = gamma.numpy() / np.sqrt(variance.numpy() + eps)
    return weight.numpy() * scale[:, None, None, None], beta.numpy() - scale * mean.numpy()
