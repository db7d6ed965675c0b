# hears: one class too few let through
def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    return ((logits >= score).sum(dim=1) >= k).float().mean().item()
