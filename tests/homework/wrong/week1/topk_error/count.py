# hears: a count of wrong images
def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    return ((logits >= score).sum(1) > k).sum().item()
