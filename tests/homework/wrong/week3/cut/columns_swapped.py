# hears: the column of connections read
phone_layer = 'conv2'
phone_saving = 595968
camera_layer = 'fc6'
camera_saving = 27262976
