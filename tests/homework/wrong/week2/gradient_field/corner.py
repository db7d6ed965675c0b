# hears: the output in the corner
def gradient_field(network, image):
    image = image.clone().requires_grad_()
    output = network(image)
    output[0, 0, 0, 0].backward()
    return image.grad[0, 0].abs()
