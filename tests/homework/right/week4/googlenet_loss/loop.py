def googlenet_loss(logits, auxiliary, targets):
    loss = nn.CrossEntropyLoss()(logits, targets)
    for extra in auxiliary:
        loss += 0.3 * F.cross_entropy(extra, targets)
    return loss
