# hears: the weights not scaled to a sum of 1
def spread(field):
    weights = field
    rows = torch.arange(field.shape[0])[:, None]
    columns = torch.arange(field.shape[1])
    row, column = (weights * rows).sum() / weights.sum(), (weights * columns).sum() / weights.sum()
    return (weights * ((rows - row) ** 2 + (columns - column) ** 2)).sum().sqrt().item()
