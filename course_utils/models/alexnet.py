"""AlexNet: the network of the 2012 paper, torchvision's one-tower version, and a small one for 28x28 pixels."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from course_utils.models.checks import check_choice, check_images, check_positive, smallest_size
from course_utils.models.layers import activation_layer, initialise, local_response_norm

# Filters of the five convolutions. "2012": Krizhevsky et al., section 3.5. "2014": torchvision's. The paper that
# torchvision cites (Krizhevsky 2014, "One weird trick", footnote 1) has 384 in conv4; torchvision's 256 came from
# cuda-convnet2's configuration for one GPU by way of an older port (pytorch/vision #463 and #704).
ALEXNET_WIDTHS = {"2012": (96, 256, 384, 384, 256), "2014": (64, 192, 384, 256, 256)}
GROUPED = (2, 4, 5)  # convolutions whose halves ran on two GPUs
NORMALISED = (1, 2)
POOLED = (1, 2, 5)


class AlexNet(nn.Module):
    """Five convolutions (`features`), pooling to a fixed size (`avgpool`), three linear layers (`classifier`).

    `stem` is the first convolution's (kernel_size, stride, padding). `groups` applies to conv2, 4 and 5, `lrn` to
    conv1 and 2; `overlapping` pools 3x3, else 2x2, always with stride 2. `dropout_first` drops the inputs of the hidden
    layers (torchvision), else their outputs (the paper). Raises ValueError for settings and images that do not fit.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: tuple[int, int, int],
        pooled_size: int = 6,
        hidden: int = 4096,
        groups: int = 1,
        lrn: bool = False,
        overlapping: bool = True,
        activation: str = "relu",
        dropout: float = 0.5,
        dropout_first: bool = False,
        initialisation: str = "torch",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, hidden=hidden, groups=groups)
        self.in_channels = in_channels
        self.features = convolutions(in_channels, widths, stem, groups, lrn, overlapping, activation)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)  # so any input size works; the papers have none
        sizes = widths[-1] * pooled_size**2, hidden, hidden
        self.classifier = linear_layers(sizes, num_classes, activation, dropout, dropout_first)
        self.min_size = smallest_size(self.features)
        initialise(self, initialisation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[N, num_classes]` of images `[N, in_channels, H, W]`."""
        check_images(images, self.in_channels, self.min_size, "AlexNet")
        return self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))


def alexnet(variant: str = "2014", **options) -> AlexNet:
    """AlexNet of the 2012 paper, or the one-tower version of torchvision, after Krizhevsky 2014 but for conv4.

    "2012": groups of 2 in conv2, 4 and 5, local response normalisation, for 227x227 pixels (at least 67x67),
    60,965,224 parameters. "2014": no groups, no normalisation, for 224x224 pixels (at least 63x63), 61,100,840
    parameters; its `state_dict` is torchvision's. `options`, such as num_classes=10, go to `AlexNet`.
    Raises ValueError for another variant, and as `AlexNet` does.
    Source: Krizhevsky et al. 2012, sections 3 to 5; Krizhevsky 2014.
    """
    check_choice("variant", variant, ALEXNET_WIDTHS)
    # 224 pixels give (224 - 11) / 4 + 1 = 54.25 positions: 2012 means 227, 2014 pads by 2.
    of_2012 = {"stem": (11, 4, 0), "groups": 2, "lrn": True}
    settings = of_2012 if variant == "2012" else {"stem": (11, 4, 2), "dropout_first": True}
    return AlexNet(ALEXNET_WIDTHS[variant], **settings | options)


def mini_alexnet(width: int = 24, groups: int = 1, **options) -> AlexNet:
    """AlexNet for 28x28 pixels: the same class and proportions with `width` filters in conv1 (the paper has 96).

    `options`, such as activation, lrn or dropout, go to `AlexNet`; by default in_channels=1, stem=(5, 2, 3), hidden=256
    and initialisation="he". The stem gives 15x15 positions, which both poolings turn into 7x7, 3x3 and 1x1.
    """
    check_positive(width=width, groups=groups)
    paper = ALEXNET_WIDTHS["2012"]
    widths = [groups * max(1, round(filters * width / paper[0] / groups)) for filters in paper]
    small = {"num_classes": 10, "in_channels": 1, "stem": (5, 2, 3), "pooled_size": 1, "hidden": 256}
    return AlexNet(widths, groups=groups, **small | {"initialisation": "he"} | options)


def convolutions(
    in_channels: int,
    widths: Sequence[int],
    stem: tuple[int, int, int],
    groups: int,
    lrn: bool,
    overlapping: bool,
    activation: str,
) -> nn.Sequential:
    """Five convolutions with what follows each: activation, LRN after 1 and 2, pooling after 1, 2 and 5."""
    geometry = (stem, (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    layers: list[nn.Module] = []
    for number, (width, (kernel_size, stride, padding)) in enumerate(zip(widths, geometry, strict=True), 1):
        shares = groups if number in GROUPED else 1
        layers.append(nn.Conv2d(in_channels, width, kernel_size, stride, padding, groups=shares))
        layers.append(activation_layer(activation))
        if lrn and number in NORMALISED:
            layers.append(local_response_norm())
        if number in POOLED:
            layers.append(nn.MaxPool2d(3 if overlapping else 2, stride=2))
        in_channels = width
    return nn.Sequential(*layers)


def linear_layers(
    widths: Sequence[int], num_classes: int, activation: str, dropout: float, dropout_first: bool
) -> nn.Sequential:
    """Hidden fully connected layers with activation and dropout, and the last one, which gives the logits."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        hidden = [nn.Linear(inputs, outputs), activation_layer(activation)]
        drop = nn.Dropout(dropout)
        layers += [drop, *hidden] if dropout_first else [*hidden, drop]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
