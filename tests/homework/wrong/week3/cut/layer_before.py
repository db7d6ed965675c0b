# hears: the layer before
phone_layer = 'fc6'
phone_saving = 27262976
camera_layer = 'conv2'
camera_saving = 164682000
