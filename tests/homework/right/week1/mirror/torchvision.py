def mirror(images):
    from torchvision.transforms.functional import hflip

    return hflip(images)
