# hears: but fewer channels do as well
reading = 'B'
enough = 32
