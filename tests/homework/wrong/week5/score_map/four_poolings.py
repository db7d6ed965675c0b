# hears: four poolings
map_384 = 18
places_512 = 60
