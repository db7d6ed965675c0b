def topk_error(logits, targets, k):
    wrong = 0
    for row, target in zip(logits.tolist(), targets.tolist()):
        ahead = [c for c, score in enumerate(row) if score >= row[target] and c != target]
        wrong += len(ahead) >= k
    return wrong / len(targets)
