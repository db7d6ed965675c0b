# hears: is no row of the second table
reading = 'B'
enough = 20
