def build_features(configuration, in_channels=3):
    widths = [in_channels] + [entry for entry in configuration if entry != "M"]
    pairs = iter(zip(widths, widths[1:]))
    layers = []
    for entry in configuration:
        layers += (
            [nn.MaxPool2d((2, 2), 2)]
            if entry == "M"
            else [nn.Conv2d(*next(pairs), 3, padding="same"), nn.ReLU()]
        )
    return nn.Sequential(*layers)
