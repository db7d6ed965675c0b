# hears: the scale along the last axis
def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    scale = gamma / torch.sqrt(variance + eps)
    return weight * scale, beta - scale * mean
