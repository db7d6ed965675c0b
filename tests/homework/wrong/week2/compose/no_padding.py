# hears: no room at the borders
def compose(first, second):
    if first.shape != second.shape:
        return first
    return F.conv2d(first[None, None], second[None, None])[0, 0]
