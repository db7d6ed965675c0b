# hears: crops of 224 at every pixel
map_384 = 161
places_512 = 60
