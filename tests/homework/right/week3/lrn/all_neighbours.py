def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    output = torch.zeros_like(maps)
    channels = maps.shape[1]
    for i in range(channels):
        total = 0
        for j in range(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1):
            total = total + maps[:, j] ** 2
        output[:, i] = maps[:, i] / (k + alpha * total) ** beta
    return output
