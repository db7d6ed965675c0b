# hears: the starting position forgotten
map_384 = 5
places_512 = 45
