# hears: a softmax over the crops
def average_prediction(model, crops):
    return model(crops).softmax(dim=0).mean(dim=0)
