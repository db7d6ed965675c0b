def gradient_field(network, image):
    image = image.clone().requires_grad_()
    output = network(image)
    mask = torch.zeros_like(output)
    mask[0, 0, image.shape[2] // 2, image.shape[3] // 2] = 1
    output.backward(mask)
    return image.grad.squeeze().abs()
