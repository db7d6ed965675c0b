# hears: s taken once
factor = 1.44
