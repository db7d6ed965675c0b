# hears: the weight 0.3 forgotten
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return main + sum(F.cross_entropy(a, targets) for a in auxiliary)
