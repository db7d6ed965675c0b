# hears: top and bottom swapped
def mirror(images):
    return images.flip(-2)
