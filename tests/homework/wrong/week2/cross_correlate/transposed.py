# hears: rows and columns of the kernel swapped
def cross_correlate(image, kernel, stride=1):
    kernel = kernel.T
    (height, width), (k, m) = image.shape, kernel.shape
    rows, columns = (height - k) // stride + 1, (width - m) // stride + 1
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = image[i * stride : i * stride + k, j * stride : j * stride + m]
            output[i, j] = (window * kernel).sum()
    return output
