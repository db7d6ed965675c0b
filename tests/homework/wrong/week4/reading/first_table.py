# hears: a number taken from the first table, or not the smallest
reading = 'B'
enough = 32
