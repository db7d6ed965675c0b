# hears: the kernel sizes multiplied
def receptive_field(layers):
    result = 1
    for k, _ in layers:
        result *= k
    return result
