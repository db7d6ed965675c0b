# hears: distances from pixel (0, 0)
def spread(field):
    weights = field / field.sum()
    rows = torch.arange(field.shape[0])[:, None]
    columns = torch.arange(field.shape[1])
    row, column = 0, 0
    return (weights * ((rows - row) ** 2 + (columns - column) ** 2)).sum().sqrt().item()
