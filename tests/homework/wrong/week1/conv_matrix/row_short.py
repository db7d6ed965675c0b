# hears: one row too few
def conv_matrix(kernel, size):
    k = len(kernel)
    matrix = torch.zeros(size - k, size)
    for row in range(size - k):
        matrix[row, row : row + k] = kernel
    return matrix
