# hears: percent in place of a fraction
def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    return 100 * ((logits >= score).sum(1) > k).float().mean().item()
