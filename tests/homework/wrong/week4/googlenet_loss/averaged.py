# hears: the auxiliary losses averaged
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return main + 0.3 * sum(F.cross_entropy(a, targets) for a in auxiliary) / max(len(auxiliary), 1)
