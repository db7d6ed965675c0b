def ten_crops(image, size):
    crops = torch.zeros(10, image.shape[0], size, size)
    down, right = image.shape[1] - size, image.shape[2] - size
    for i, (y, x) in enumerate([(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]):
        crops[i] = image[:, y : y + size, x : x + size]
        crops[i + 5] = torch.fliplr(crops[i].permute(1, 2, 0)).permute(2, 0, 1)
    return crops
