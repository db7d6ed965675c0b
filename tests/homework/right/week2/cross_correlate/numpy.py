def cross_correlate(image, kernel, stride=1):
    import numpy as np

    pixels, weights = image.numpy(), kernel.numpy()
    k, m = weights.shape
    output = np.zeros(((pixels.shape[0] - k) // stride + 1, (pixels.shape[1] - m) // stride + 1))
    for i, j in np.ndindex(*output.shape):
        output[i, j] = np.sum(pixels[i * stride : i * stride + k, j * stride : j * stride + m] * weights)
    return output
