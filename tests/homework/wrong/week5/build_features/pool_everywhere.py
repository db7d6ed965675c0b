# hears: a pooling behind every convolution
def build_features(configuration, in_channels=3):
    layers = []
    for entry in configuration:
        if entry != "M":
            layers += [nn.Conv2d(in_channels, entry, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            in_channels = entry
    return nn.Sequential(*layers)
