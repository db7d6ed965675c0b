# hears: rows and columns swapped
def conv_matrix(kernel, size):
    k = len(kernel)
    matrix = torch.zeros(size, size - k + 1)
    for column in range(size - k + 1):
        matrix[column : column + k, column] = kernel
    return matrix
