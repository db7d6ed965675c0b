def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    half = n // 2
    squares = F.pad(maps**2, (0, 0, 0, 0, half, half)).unfold(1, 2 * half + 1, 1).sum(-1)
    return maps / (k + alpha * squares) ** beta
