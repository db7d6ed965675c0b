# hears: the reductions stay inside
wrong_lines = 'CE'
right_channels = 1264
right_head = 1024000
