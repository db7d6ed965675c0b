# hears: a square of 384 pixels
map_384 = 6
places_512 = 36
