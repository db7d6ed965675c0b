def total_error(batch_errors, batch_sizes):
    errors, sizes = torch.tensor(batch_errors), torch.tensor(batch_sizes)
    return (errors * sizes).sum() / sizes.sum()
