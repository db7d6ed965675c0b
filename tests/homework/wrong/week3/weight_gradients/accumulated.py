# hears: the gradients of an earlier call added
def weight_gradients(model, images, targets):
    F.cross_entropy(model(images), targets).backward()
    return [weight.grad.abs().mean().item() for weight in model.parameters() if weight.ndim > 1]
