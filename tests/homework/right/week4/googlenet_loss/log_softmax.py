def googlenet_loss(logits, auxiliary, targets):
    def cross_entropy(scores):
        return -scores.log_softmax(dim=1)[torch.arange(len(targets)), targets].mean()

    return cross_entropy(logits) + 0.3 * sum(cross_entropy(each) for each in auxiliary)
