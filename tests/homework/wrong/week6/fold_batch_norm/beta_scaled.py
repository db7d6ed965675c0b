# hears: beta scaled too
def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    scale = gamma / torch.sqrt(variance + eps)
    return weight * scale[:, None, None, None], scale * (beta - mean)
