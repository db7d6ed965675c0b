def topk_error(logits, targets, k):
    score = logits.gather(1, targets[:, None])
    if k >= logits.shape[1]:
        return 0.0
    behind = logits.sort(dim=1, descending=True).values[:, k]
    return 1 - (score[:, 0] > behind).sum().item() / len(targets)
