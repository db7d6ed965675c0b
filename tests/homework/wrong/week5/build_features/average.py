# hears: average pooling
def build_features(configuration, in_channels=3):
    layers = []
    for entry in configuration:
        if entry == "M":
            layers += [nn.AvgPool2d(2)]
        else:
            layers += [nn.Conv2d(in_channels, entry, 3, padding=1), nn.ReLU()]
            in_channels = entry
    return nn.Sequential(*layers)
