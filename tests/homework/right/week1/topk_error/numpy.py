def topk_error(logits, targets, k):
    import numpy as np

    rows, right = logits.numpy(), targets.numpy()
    score = rows[np.arange(len(rows)), right][:, None]
    return np.mean((rows >= score).sum(axis=1) > k)
