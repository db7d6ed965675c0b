def conv_matrix(kernel, size):
    row = F.pad(kernel, (0, size - len(kernel)))
    return torch.stack([row.roll(i) for i in range(size - len(kernel) + 1)])
