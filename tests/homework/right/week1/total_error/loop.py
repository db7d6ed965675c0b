def total_error(batch_errors, batch_sizes):
    wrong, images = 0, 0
    for i in range(len(batch_sizes)):
        wrong += batch_errors[i] * batch_sizes[i]
        images += batch_sizes[i]
    return wrong / images
