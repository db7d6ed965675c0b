# hears: eps outside the root
def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    scale = gamma / (variance.sqrt() + eps)
    return weight * scale[:, None, None, None], beta - scale * mean
