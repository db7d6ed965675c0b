# hears: multiplied entry by entry
def compose(first, second):
    return first * second
