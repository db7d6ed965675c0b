# hears: a kernel that leaves at one end and comes in at the other
def conv_matrix(kernel, size):
    matrix = torch.zeros(size, size)
    for row in range(size):
        for i, weight in enumerate(kernel):
            matrix[row, (row + i) % size] = weight
    return matrix
