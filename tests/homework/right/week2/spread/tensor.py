def spread(field):
    weights = field / field.sum()
    rows, columns = torch.meshgrid(torch.arange(field.shape[0]), torch.arange(field.shape[1]), indexing="ij")
    row, column = (weights * rows).sum(), (weights * columns).sum()
    return torch.sqrt((weights * (rows - row) ** 2).sum() + (weights * (columns - column) ** 2).sum())
