# hears: or the weights in place of their gradients
def weight_gradients(model, images, targets):
    model.zero_grad()
    F.cross_entropy(model(images), targets).backward()
    return [weight.abs().mean().item() for weight in model.parameters() if weight.ndim > 1]
