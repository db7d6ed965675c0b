# hears: the smallest scores taken for the best
def topk_error(logits, targets, k):
    best = logits.argsort(dim=1)[:, :k]
    return 1 - (best == targets[:, None]).any(1).float().mean().item()
