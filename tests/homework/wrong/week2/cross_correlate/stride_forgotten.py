# hears: the stride forgotten
def cross_correlate(image, kernel, stride=1):
    (height, width), (k, m) = image.shape, kernel.shape
    rows, columns = height - k + 1, width - m + 1
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = image[i : i + k, j : j + m]
            output[i, j] = (window * kernel).sum()
    return output
