def cross_correlate(image, kernel, stride=1):
    k, m = kernel.shape
    rows, columns = (image.shape[0] - k) // stride + 1, (image.shape[1] - m) // stride + 1
    output = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            for a in range(k):
                for b in range(m):
                    output[i, j] += image[i * stride + a, j * stride + b] * kernel[a, b]
    return output
