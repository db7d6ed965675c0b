def he_std(layer):
    return torch.sqrt(torch.tensor(2.0) / layer.weight[0].numel())
