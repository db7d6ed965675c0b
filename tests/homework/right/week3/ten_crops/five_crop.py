def ten_crops(image, size):
    from torchvision.transforms.functional import five_crop

    five = torch.stack(five_crop(image, [size, size]))
    return torch.cat([five, torch.flip(five, [3])])
