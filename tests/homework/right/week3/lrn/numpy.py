def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    import numpy as np

    a = maps.numpy().astype(float)
    b = np.empty_like(a)
    for i in range(a.shape[1]):
        window = a[:, max(0, i - n // 2) : i + n // 2 + 1]
        b[:, i] = a[:, i] / (k + alpha * (window**2).sum(axis=1)) ** beta
    return b
