# hears: the centre beginning at H // 2
def ten_crops(image, size):
    down, right = image.shape[1] - size, image.shape[2] - size
    places = [(0, 0), (0, right), (down, 0), (down, right), (min(down, image.shape[1] // 2 + 1), min(right, image.shape[2] // 2 + 1))]
    crops = torch.stack([image[:, top : top + size, left : left + size] for top, left in places])
    return torch.cat([crops, crops.flip(-1)])
