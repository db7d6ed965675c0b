# hears: divided by all images
def error_by_class(predictions, targets, num_classes):
    wrong = predictions != targets
    return torch.stack([(wrong & (targets == c)).float().mean() for c in range(num_classes)])
