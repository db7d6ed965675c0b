# hears: alpha divided by n
def lrn(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    return F.local_response_norm(maps, n, alpha=alpha, beta=beta, k=k)
