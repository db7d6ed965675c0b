# hears: the mirror images forgotten
views = 1089
