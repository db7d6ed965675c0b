# hears: those that meet at one place are added
def compose(first, second):
    (k, m), (p, q) = first.shape, second.shape
    result = torch.zeros(k + p - 1, m + q - 1)
    for i in range(k):
        for j in range(m):
            result[i : i + p, j : j + q] = first[i, j] * second
    return result
