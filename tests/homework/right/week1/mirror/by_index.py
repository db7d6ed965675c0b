def mirror(images):
    return images[..., torch.arange(images.shape[-1] - 1, -1, -1)]
