# hears: neighbour pixels
def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    squares = F.pad(maps**2, (n // 2, n // 2))
    total = squares.unfold(3, n, 1).sum(-1)
    return maps / (k + alpha * total) ** beta
