# hears: written over earlier ones
def merge(first, second):
    k, m = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + m - 1, k + m - 1)
    for u in range(m):
        for v in range(m):
            merged[:, :, u : u + k, v : v + k] = torch.einsum("om,mikl->oikl", second[:, :, u, v], first)
    return merged
