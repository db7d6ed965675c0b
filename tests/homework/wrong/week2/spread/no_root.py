# hears: the root forgotten
def spread(field):
    weights = field / field.sum()
    rows = torch.arange(field.shape[0])[:, None]
    columns = torch.arange(field.shape[1])
    row, column = (weights * rows).sum(), (weights * columns).sum()
    return (weights * ((rows - row) ** 2 + (columns - column) ** 2)).sum().item()
