# hears: distances from the middle of the matrix
def spread(field):
    weights = field / field.sum()
    rows = torch.arange(field.shape[0])[:, None]
    columns = torch.arange(field.shape[1])
    row, column = field.shape[0] // 2, field.shape[1] // 2
    return (weights * ((rows - row) ** 2 + (columns - column) ** 2)).sum().sqrt().item()
