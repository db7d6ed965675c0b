def mirror(images):
    return torch.flip(images, dims=[3])
