def paper_dropout(values, p, training, noise):
    kept = torch.where(noise >= p, values, torch.zeros_like(values))
    return kept if training else (1 - p) * values
