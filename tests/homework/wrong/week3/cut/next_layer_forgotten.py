# hears: the next layer forgotten
phone_layer = 'fc6'
phone_saving = 18874368
camera_layer = 'conv2'
camera_saving = 111974400
