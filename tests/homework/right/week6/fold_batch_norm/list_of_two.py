def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    std = (variance + eps).sqrt()
    return [weight * (gamma / std).view(-1, 1, 1, 1), beta - mean * gamma / std]
