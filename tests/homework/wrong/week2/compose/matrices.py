# hears: multiplied as matrices
def compose(first, second):
    return first @ second
