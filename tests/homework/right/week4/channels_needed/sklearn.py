def channels_needed(maps, share):
    import numpy as np
    from sklearn.decomposition import PCA

    points = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).numpy()
    reached = PCA().fit(points).explained_variance_ratio_.cumsum()
    return int(np.argmax(reached >= share)) + 1
