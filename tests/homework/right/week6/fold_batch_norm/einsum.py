def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    scale = gamma * (variance + eps).rsqrt()
    return torch.einsum("m,mckl->mckl", scale, weight), torch.addcmul(beta, scale, mean, value=-1)
