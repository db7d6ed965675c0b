def error_by_class(predictions, targets, num_classes):
    errors = torch.zeros(num_classes)
    for c in range(num_classes):
        of_class = [i for i in range(len(targets)) if targets[i] == c]
        errors[c] = sum(int(predictions[i] != c) for i in of_class) / len(of_class)
    return errors
