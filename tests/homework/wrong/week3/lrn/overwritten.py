# hears: write into a new tensor
def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    for i in range(maps.shape[1]):
        window = maps[:, max(0, i - n // 2) : i + n // 2 + 1]
        maps[:, i] = maps[:, i] / (k + alpha * (window**2).sum(dim=1)) ** beta
    return maps
