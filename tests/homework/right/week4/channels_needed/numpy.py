def channels_needed(maps, share):
    import numpy as np

    rows = np.moveaxis(maps.numpy(), 1, 0).reshape(maps.shape[1], -1)
    values = np.linalg.svd(rows - rows.mean(axis=1, keepdims=True), compute_uv=False) ** 2
    return np.searchsorted(values.cumsum() / values.sum(), share) + 1
