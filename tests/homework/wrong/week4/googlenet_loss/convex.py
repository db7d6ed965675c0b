# hears: the main loss weighted 0.7
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return 0.7 * main + 0.3 * sum(F.cross_entropy(a, targets) for a in auxiliary)
