# hears: compare its two rows
reading = 'C'
enough = 16
