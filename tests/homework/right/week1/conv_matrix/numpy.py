def conv_matrix(kernel, size):
    import numpy as np

    k = len(kernel)
    matrix = np.zeros((size - k + 1, size))
    for i in range(size - k + 1):
        matrix[i, i : i + k] = kernel.numpy()
    return matrix
