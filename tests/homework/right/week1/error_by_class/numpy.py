def error_by_class(predictions, targets, num_classes):
    import numpy as np

    guesses, truths = predictions.numpy(), targets.numpy()
    return np.array([np.mean(guesses[truths == c] != c) for c in range(num_classes)])
