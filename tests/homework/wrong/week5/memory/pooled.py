# hears: the pooled map
first_values = 802816
all_values = 13547520
batch = 11
