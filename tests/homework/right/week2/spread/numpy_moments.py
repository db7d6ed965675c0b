def spread(field):
    import numpy as np

    values = field.detach().numpy().astype(float)
    rows, columns = np.indices(values.shape)
    total = values.sum()
    variances = [(values * x**2).sum() / total - ((values * x).sum() / total) ** 2 for x in (rows, columns)]
    return np.sqrt(sum(variances))
