def build_features(configuration, in_channels=3):
    layers = nn.Sequential()
    for number, entry in enumerate(configuration):
        if entry == "M":
            layers.add_module(f"pool{number}", nn.MaxPool2d(2))
        else:
            layers.add_module(f"conv{number}", nn.Conv2d(in_channels, entry, 3, padding="same"))
            layers.add_module(f"relu{number}", nn.ReLU(inplace=True))
            in_channels = entry
    return layers
