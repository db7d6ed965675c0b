def spread(field):
    places = [(i, j, float(field[i, j])) for i in range(field.shape[0]) for j in range(field.shape[1])]
    total = sum(w for *_, w in places)
    row, column = sum(i * w for i, _, w in places) / total, sum(j * w for _, j, w in places) / total
    return (sum(w * ((i - row) ** 2 + (j - column) ** 2) for i, j, w in places) / total) ** 0.5
