def gradient_field(network, image):
    image = image.detach().clone().requires_grad_(True)
    middle = network(image)[0, 0, image.shape[2] // 2, image.shape[3] // 2]
    (gradient,) = torch.autograd.grad(middle, image)
    return gradient[0, 0].abs()
