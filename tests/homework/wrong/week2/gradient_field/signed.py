# hears: the sign kept
def gradient_field(network, image):
    image = image.clone().requires_grad_()
    output = network(image)
    output[0, 0, image.shape[2] // 2, image.shape[3] // 2].backward()
    return image.grad[0, 0]
