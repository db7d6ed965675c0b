def mirror(images):
    return images.numpy()[:, :, :, ::-1].copy()
