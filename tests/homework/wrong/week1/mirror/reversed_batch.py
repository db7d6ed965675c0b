# hears: the order of the images reversed
def mirror(images):
    return images.flip(0)
