# hears: the largest probability
def average_prediction(model, crops):
    return model(crops).softmax(dim=1).max(dim=0).values
