# hears: Compare trained with as drawn
reading = 'A'
enough = 16
