# hears: only half of each is saved
phone_layer = 'fc6'
phone_saving = 54525952
camera_layer = 'conv2'
camera_saving = 373469184
