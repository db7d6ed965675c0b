# hears: one row and column too few
def cross_correlate(image, kernel, stride=1):
    (height, width), (k, m) = image.shape, kernel.shape
    rows, columns = (height - k) // stride, (width - m) // stride
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = image[i * stride : i * stride + k, j * stride : j * stride + m]
            output[i, j] = (window * kernel).sum()
    return output
