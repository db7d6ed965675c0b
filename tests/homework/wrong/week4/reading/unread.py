# hears: Compare trained with as drawn
reading = 'C'
enough = 16
