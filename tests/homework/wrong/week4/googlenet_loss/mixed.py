# hears: the logits mixed before the loss
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return F.cross_entropy(logits + 0.3 * sum(auxiliary), targets)
