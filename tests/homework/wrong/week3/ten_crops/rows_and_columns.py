# hears: rows and columns swapped
def ten_crops(image, size):
    down, right = image.shape[1] - size, image.shape[2] - size
    places = [(0, 0), (down, 0), (0, right), (down, right), (down // 2, right // 2)]
    crops = torch.stack([image[:, top : top + size, left : left + size] for top, left in places])
    return torch.cat([crops, crops.flip(-1)])
