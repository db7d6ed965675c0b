# hears: the image mirrored before it is cropped
def ten_crops(image, size):
    from torchvision.transforms.functional import ten_crop
    return torch.stack(ten_crop(image, [size, size]))
