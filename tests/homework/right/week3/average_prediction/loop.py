def average_prediction(model, crops):
    total = 0
    for crop in crops:
        total = total + F.softmax(model(crop[None])[0], dim=0)
    return total / len(crops)
