# hears: a tie in favour of the target
def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    return ((logits > score).sum(1) >= k).float().mean().item()
