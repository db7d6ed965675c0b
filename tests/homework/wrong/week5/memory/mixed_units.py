# hears: bytes on one side
first_values = 3211264
all_values = 13547520
batch = 41
