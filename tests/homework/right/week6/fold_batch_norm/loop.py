def fold_batch_norm(weight, gamma, beta, mean, variance, eps=1e-5):
    new_weight, new_bias = weight.clone(), beta.clone()
    for m in range(len(weight)):
        scale = gamma[m] / (variance[m] + eps) ** 0.5
        new_weight[m] = scale * weight[m]
        new_bias[m] = beta[m] - scale * mean[m]
    return new_weight, new_bias
