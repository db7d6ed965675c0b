# hears: stopped with
def compose(first, second):
    (k, m), (p, q) = first.shape, second.shape
    result = torch.zeros(m + q - 1, k + p - 1)
    for c in range(p):
        for d in range(q):
            result[c : c + k, d : d + m] += second[c, d] * first
    return result
