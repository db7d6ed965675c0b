# hears: the sum in place of the mean
def average_prediction(model, crops):
    return model(crops).softmax(dim=1).sum(dim=0)
