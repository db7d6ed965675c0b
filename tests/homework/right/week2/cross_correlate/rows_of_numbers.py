def cross_correlate(image, kernel, stride=1):
    k, m = kernel.shape
    return torch.tensor(
        [
            [
                (image[i : i + k, j : j + m] * kernel).sum().item()
                for j in range(0, image.shape[1] - m + 1, stride)
            ]
            for i in range(0, image.shape[0] - k + 1, stride)
        ]
    )
