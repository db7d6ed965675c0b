# hears: one class too many let through
def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    return ((logits >= score).sum(1) - 1 > k).float().mean().item()
