# hears: turned by half a circle
def mirror(images):
    return images.flip(-1, -2)
