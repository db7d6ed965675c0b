# hears: rounding down
first_values = 3211264
all_values = 13547520
batch = 10
