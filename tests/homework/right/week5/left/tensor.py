left = "c"
factor = 0.01 * torch.tensor(144.0).sqrt()
