def topk_error(logits, targets, k):
    score = logits[torch.arange(len(targets)), targets]
    return ((logits >= score[:, None]).sum(1) > k).double().mean()
