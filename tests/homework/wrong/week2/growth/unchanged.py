# hears: not having divided
growth = "C"
