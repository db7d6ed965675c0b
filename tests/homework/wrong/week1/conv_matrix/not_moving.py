# hears: the kernel at the same place in every row
def conv_matrix(kernel, size):
    k = len(kernel)
    matrix = torch.zeros(size - k + 1, size)
    matrix[:, :k] = kernel
    return matrix
