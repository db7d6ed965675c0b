def conv_matrix(kernel, size):
    matrix = torch.zeros(size - len(kernel) + 1, size)
    for i in range(matrix.shape[0]):
        for j in range(len(kernel)):
            matrix[i, i + j] = kernel[j]
    return matrix
