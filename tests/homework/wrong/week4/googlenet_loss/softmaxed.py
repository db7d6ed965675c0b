# hears: softmax before the cross-entropy
def googlenet_loss(logits, auxiliary, targets):
    main = F.cross_entropy(logits, targets)
    return F.cross_entropy(logits.softmax(1), targets) + sum(0.3 * F.cross_entropy(a.softmax(1), targets) for a in auxiliary)
