# hears: the main loss weighted too
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return 0.3 * (main + sum(F.cross_entropy(a, targets) for a in auxiliary))
