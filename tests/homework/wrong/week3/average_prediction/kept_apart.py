# hears: the crops kept apart
def average_prediction(model, crops):
    return model(crops).softmax(dim=1)
