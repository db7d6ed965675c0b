# hears: 3 x 3 pooling, as in AlexNet
def build_features(configuration, in_channels=3):
    layers = []
    for entry in configuration:
        if entry == "M":
            layers += [nn.MaxPool2d(3, stride=2)]
        else:
            layers += [nn.Conv2d(in_channels, entry, 3, padding=1), nn.ReLU()]
            in_channels = entry
    return nn.Sequential(*layers)
