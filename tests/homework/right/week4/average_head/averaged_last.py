def average_head(maps, weight, bias):
    return torch.einsum("nchw,kc->nkhw", maps, weight).mean((2, 3)) + bias
