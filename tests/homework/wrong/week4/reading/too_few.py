# hears: which is not yet close
reading = 'B'
enough = 4
