def gradient_field(network, image):
    image = image.clone().requires_grad_()
    network(image)[0, 0, image.shape[2] // 2, image.shape[3] // 2].backward()
    return abs(image.grad[0, 0].numpy())
