def merge(first, second):
    k, m = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + m - 1, k + m - 1)
    for i in range(k):
        for j in range(k):
            for u in range(m):
                for v in range(m):
                    merged[:, :, i + u, j + v] += second[:, :, u, v] @ first[:, :, i, j]
    return merged
