# hears: the padding forgotten
def build_features(configuration, in_channels=3):
    layers = []
    for entry in configuration:
        if entry == "M":
            layers += [nn.MaxPool2d(2)]
        else:
            layers += [nn.Conv2d(in_channels, entry, 3), nn.ReLU()]
            in_channels = entry
    return nn.Sequential(*layers)
