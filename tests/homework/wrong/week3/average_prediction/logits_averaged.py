# hears: the softmax of the mean logits
def average_prediction(model, crops):
    return model(crops).mean(dim=0).softmax(dim=0)
