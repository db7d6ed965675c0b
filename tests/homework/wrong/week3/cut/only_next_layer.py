# hears: only the next layer looked at
phone_layer = 'conv5'
phone_saving = 19095552
camera_layer = 'conv2'
camera_saving = 186734592
