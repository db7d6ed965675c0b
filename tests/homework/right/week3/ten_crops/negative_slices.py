def ten_crops(image, size):
    top, left = (image.shape[1] - size) // 2, (image.shape[2] - size) // 2
    five = [
        image[:, :size, :size],
        image[:, :size, -size:],
        image[:, -size:, :size],
        image[:, -size:, -size:],
        image[:, top : top + size, left : left + size],
    ]
    return torch.stack(five + [crop.flip(2) for crop in five])
