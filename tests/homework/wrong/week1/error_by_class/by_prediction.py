# hears: grouped by prediction
def error_by_class(predictions, targets, num_classes):
    wrong = (predictions != targets).float()
    return torch.stack([wrong[predictions == c].mean() for c in range(num_classes)])
