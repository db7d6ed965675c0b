# hears: one axis only
views = 66
