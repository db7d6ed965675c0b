# hears: a column too far to the left
left = 'B'
