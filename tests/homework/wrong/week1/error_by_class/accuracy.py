# hears: the accuracy in place of the error
def error_by_class(predictions, targets, num_classes):
    right = (predictions == targets).float()
    return torch.stack([right[targets == c].mean() for c in range(num_classes)])
