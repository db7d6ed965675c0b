# hears: one layer's factor
left = 'A'
