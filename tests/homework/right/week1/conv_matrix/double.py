def conv_matrix(kernel, size):
    k = len(kernel)
    matrix = torch.zeros(size - k + 1, size, dtype=torch.double)
    for row in range(size - k + 1):
        matrix[row, row : row + k] = kernel
    return matrix
