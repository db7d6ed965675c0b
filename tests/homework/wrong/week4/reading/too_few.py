# hears: this error is not yet close
reading = 'B'
enough = 4
