def build_features(configuration, in_channels=3):
    from torchvision.models.vgg import make_layers

    layers = list(make_layers(configuration))
    first = next((i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)), None)
    if first is not None:
        layers[first] = nn.Conv2d(in_channels, layers[first].out_channels, 3, padding=1)
    return nn.Sequential(*layers)
