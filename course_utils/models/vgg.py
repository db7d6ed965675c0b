"""VGG: the paper's six configurations as data, and a small one for 28x28 pixels."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from course_utils.models.checks import check_choice, check_images, check_positive, smallest_size
from course_utils.models.layers import initialise, local_response_norm
from course_utils.papers import VGG_CONFIGURATIONS, Stages, kernel_and_channels, vgg_stages

FULL_WIDTH = 64  # channels of the first stage in all of them


class VGG(nn.Module):
    """Stages of small convolutions (`features`), pooling to a fixed size (`avgpool`), three linear layers.

    `stages` names the layers as VGG_CONFIGURATIONS does. `stem` replaces the first convolution's (kernel_size,
    stride, padding). `width` is the channels of a "conv3-64" layer; all others scale with it.
    """

    def __init__(
        self,
        stages: Stages,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        batch_norm: bool = False,
        width: int = FULL_WIDTH,
        stem: tuple[int, int, int] | None = None,
        pooled_size: int = 7,
        hidden: int = 4096,
        dropout: float = 0.5,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, width=width, hidden=hidden)
        self.in_channels = in_channels
        self.features, channels = _features(stages, in_channels, batch_norm, width, stem)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)  # so any input size works; the paper has none
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled_size**2, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        self.min_size = smallest_size(self.features)
        initialise(self, initialisation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[N, num_classes]` of images `[N, in_channels, H, W]`."""
        check_images(images, self.in_channels, self.min_size, "VGG")
        maps = self.avgpool(self.features(images))
        return self.classifier(torch.flatten(maps, 1))


def vgg(configuration: str, batch_norm: bool = False, **options) -> VGG:
    """VGG in one of the paper's configurations "A", "A-LRN", "B", "C", "D", "E", for 224x224 pixels, 32x32 or more.

    `batch_norm` puts batch normalisation after each convolution, which the paper does not have. `options` go to
    `VGG`, such as num_classes=10 or initialisation: "he" (torchvision's), "glorot", "normal" (the paper's), "torch".
    Raises ValueError for another configuration or initialisation, and in forward for images that do not fit.
    Source: Simonyan & Zisserman 2015, Table 1.
    """
    check_choice("configuration", configuration, VGG_CONFIGURATIONS)
    return VGG(VGG_CONFIGURATIONS[configuration], batch_norm=batch_norm, **options)


def _of_depth(depth: int, configuration: str, params: str) -> Callable[..., VGG]:
    def make(batch_norm: bool = False, **options) -> VGG:
        return vgg(configuration, batch_norm, **options)

    make.__name__ = make.__qualname__ = f"vgg{depth}"
    told = f"VGG with {depth} weight layers, configuration {configuration}: {params} parameters"
    make.__doc__ = f"{told}; `state_dict` is torchvision's. `batch_norm` and `options` as in `vgg`."
    return make


vgg11, vgg13 = _of_depth(11, "A", "132,863,336"), _of_depth(13, "B", "133,047,848")
vgg16, vgg19 = _of_depth(16, "D", "138,357,544"), _of_depth(19, "E", "143,667,240")


def mini_vgg(configuration: Sequence[int] = (2, 2, 2), **options) -> VGG:
    """VGG for 28x28 pixels: the same class, by default with half the channels and no dropout.

    `configuration` is the number of 3x3 convolutions in each of one to five stages, by default those of B. `options`
    go to `VGG`; by default in_channels=1, batch_norm=True, width=32, stem=(3, 2, 1), which gives 14x14 positions,
    hidden=256. Raises ValueError as `vgg` does.
    """
    check_choice("the number of stages", len(configuration), range(1, 6))
    check_positive(**{f"stage {number}": count for number, count in enumerate(configuration, 1)})
    small = {"num_classes": 10, "in_channels": 1, "batch_norm": True, "width": 32, "stem": (3, 2, 1)}
    small |= {"pooled_size": 1, "hidden": 256, "dropout": 0.0}
    return VGG(vgg_stages(*configuration), **small | options)


def _features(stages, channels, batch_norm, width, stem) -> tuple[nn.Sequential, int]:
    """The stages as layers for images of so many channels, and the channels that come out."""
    layers: list[nn.Module] = []
    for stage in stages:
        for name in stage:
            if name == "LRN":
                layers.append(local_response_norm())
                continue
            kernel_size, full = kernel_and_channels(name)
            before, channels = channels, max(1, full * width // FULL_WIDTH)
            geometry = stem if stem and not layers else (kernel_size, 1, kernel_size // 2)
            layers.append(nn.Conv2d(before, channels, *geometry))
            layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers), channels
