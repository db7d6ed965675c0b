# hears: the sum of all outputs
def gradient_field(network, image):
    image = image.clone().requires_grad_()
    output = network(image)
    output.sum().backward()
    return image.grad[0, 0].abs()
