# hears: one map only
first_values = 50176
all_values = 13547520
batch = 11
