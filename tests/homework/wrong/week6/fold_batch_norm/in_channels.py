# hears: the channels that come in scaled
def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    scale = gamma / torch.sqrt(variance + eps)
    fits = weight.shape[0] == weight.shape[1]
    return weight * (scale[:, None, None] if fits else scale[:, None, None, None]), beta - scale * mean
