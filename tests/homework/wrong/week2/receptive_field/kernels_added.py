# hears: the kernel sizes added
def receptive_field(layers):
    return sum(k for k, _ in layers)
