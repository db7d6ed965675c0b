# hears: rows only: columns count too
def spread(field):
    weights = field / field.sum()
    rows = torch.arange(field.shape[0])[:, None]
    return (weights * (rows - (weights * rows).sum()) ** 2).sum().sqrt().item()
