def average_prediction(model, crops):
    logits = model(crops)
    powers = (logits - logits.max(dim=1, keepdim=True).values).exp()
    return (powers / powers.sum(dim=1, keepdim=True)).sum(0) / crops.shape[0]
