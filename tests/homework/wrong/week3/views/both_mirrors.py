# hears: mirror images counted along each axis
views = 4356
