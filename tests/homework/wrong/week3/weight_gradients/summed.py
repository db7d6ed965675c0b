# hears: the sum in place of the mean
def weight_gradients(model, images, targets):
    model.zero_grad()
    F.cross_entropy(model(images), targets).backward()
    return [weight.grad.abs().sum().item() for weight in model.parameters() if weight.ndim > 1]
