# hears: one kernel laid on the other without turning it
def compose(first, second):
    p, q = second.shape
    return F.conv2d(first[None, None], second[None, None], padding=(p - 1, q - 1))[0, 0]
