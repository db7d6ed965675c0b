# hears: from the last to the first
def weight_gradients(model, images, targets):
    model.zero_grad()
    F.cross_entropy(model(images), targets).backward()
    return [weight.grad.abs().mean().item() for weight in model.parameters() if weight.ndim > 1][::-1]
