# hears: the poolings counted as well
first_values = 3211264
all_values = 15077888
batch = 11
