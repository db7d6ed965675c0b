def compose(first, second):
    (k, m), (p, q) = first.shape, second.shape
    result = torch.zeros(k + p - 1, m + q - 1)
    for a in range(k):
        for b in range(m):
            for c in range(p):
                for d in range(q):
                    result[a + c, b + d] += first[a, b] * second[c, d]
    return result
