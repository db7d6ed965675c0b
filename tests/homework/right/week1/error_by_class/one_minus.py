def error_by_class(predictions, targets, num_classes):
    return torch.tensor(
        [
            1 - (predictions[targets == c] == c).sum().item() / (targets == c).sum().item()
            for c in range(num_classes)
        ]
    )
