# hears: counts: divide by
def error_by_class(predictions, targets, num_classes):
    wrong = predictions != targets
    return torch.stack([(wrong & (targets == c)).sum() for c in range(num_classes)]).float()
