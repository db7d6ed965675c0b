# hears: the map after the last pooling
map_384 = 12
places_512 = 192
