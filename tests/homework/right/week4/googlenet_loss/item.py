def googlenet_loss(logits, auxiliary, targets):
    losses = [F.nll_loss(F.log_softmax(each, 1), targets).item() for each in [logits, *auxiliary]]
    return losses[0] + 0.3 * sum(losses[1:])
