def build_features(configuration, in_channels=3):
    model = nn.Sequential()
    for entry in configuration:
        if isinstance(entry, str):
            model.append(nn.MaxPool2d(kernel_size=2))
            continue
        model.append(nn.Conv2d(in_channels, entry, 3, stride=1, padding=1))
        model.append(nn.ReLU(inplace=True))
        in_channels = entry
    return model
