def error_by_class(predictions, targets, num_classes):
    wrong = targets[predictions != targets].bincount(minlength=num_classes)
    return wrong / targets.bincount(minlength=num_classes)
