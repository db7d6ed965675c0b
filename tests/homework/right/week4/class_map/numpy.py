def class_map(maps, weight, label):
    return (maps.numpy() * weight[label].numpy().reshape(1, -1, 1, 1)).sum(axis=1)
