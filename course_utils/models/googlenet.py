"""GoogLeNet (Szegedy et al. 2015, "Going deeper with convolutions"): the paper's form and torchvision's."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.checks import check_choice, check_images, check_positive, smallest_size
from course_utils.models.layers import initialise, local_response_norm
from course_utils.papers import INCEPTION_WIDTHS, InceptionWidths, scaled

MINI_MODULES = ("3a", "4a", "4d", "5a", "5b")  # one at 14x14, then 7x7 and 4x4: large maps take most time
AUX_AFTER = {"4a": "aux1", "4d": "aux2"}  # Section 5 and figure 3
AUX_WEIGHT = 0.3  # Section 5: "the losses of the auxiliary classifiers were weighted by 0.3"


class ConvBlock(nn.Module):
    """Convolution, by default padded by half the kernel, and ReLU; `batch_norm` in between replaces the bias."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=None, *, batch_norm=False):
        super().__init__()
        padding = kernel_size // 2 if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=not batch_norm)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class InceptionNaive(nn.Module):
    """The module before any reduction (figure 2a): 1x1, 3x3, 5x5 and a 3x3 max pooling side by side.

    The pooling hands on all channels: `[N, in_channels, H, W]` to `[N, one + three + five + in_channels, H, W]`.
    """

    def __init__(self, in_channels: int, one: int, three: int, five: int) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, one=one, three=three, five=five)
        self.branch1 = ConvBlock(in_channels, one, 1)
        self.branch2 = ConvBlock(in_channels, three, 3)
        self.branch3 = ConvBlock(in_channels, five, 5)
        self.branch4 = nn.MaxPool2d(3, stride=1, padding=1)
        self.out_channels = one + three + five + in_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class Inception(nn.Module):
    """The module with dimension reduction: `[N, in_channels, H, W]` to `[N, widths.out_channels, H, W]`.

    A 1x1 convolution stands before the 3x3 and the 5x5 and after the pooling. `kernel5` is the kernel of the
    third branch, 5 in the paper.
    Source: figure 2(b).
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], *, batch_norm: bool = False, kernel5: int = 5
    ) -> None:
        super().__init__()
        check_choice("kernel5", kernel5, (3, 5))
        if len(widths) != 6:
            raise ValueError(f"An inception module has six widths, those of InceptionWidths; got {widths}.")
        w = InceptionWidths(*widths)
        check_positive(in_channels=in_channels, **w._asdict())
        conv = partial(ConvBlock, batch_norm=batch_norm)
        self.branch1 = conv(in_channels, w.one, 1)
        self.branch2 = nn.Sequential(conv(in_channels, w.reduce3, 1), conv(w.reduce3, w.three, 3))
        self.branch3 = nn.Sequential(conv(in_channels, w.reduce5, 1), conv(w.reduce5, w.five, kernel5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, w.pool, 1))
        self.out_channels = w.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class InceptionAux(nn.Module):
    """Auxiliary classifier (section 5): pooling to 4x4, 1x1 convolution, two linear layers, dropout between."""

    def __init__(self, in_channels, num_classes, *, width: int, batch_norm: bool, paper_pool: bool) -> None:
        super().__init__()
        channels, features = scaled(128, width), scaled(1024, width)
        self.pool = nn.AdaptiveAvgPool2d(4)
        if paper_pool:  # the adaptive one changes nothing at the paper's 14x14, and lets larger images pass
            self.pool = nn.Sequential(nn.AvgPool2d(5, stride=3), self.pool)
        self.conv = ConvBlock(in_channels, channels, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(channels * 4 * 4, features)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.conv(self.pool(x)), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNetOutputs(NamedTuple):
    """What GoogLeNet with auxiliary classifiers returns in training mode, each `[N, num_classes]`."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class GoogLeNet(nn.Module):
    """Stem, inception modules with max poolings between the stages, global average pooling, one linear layer.

    `forward` takes images `[N, in_channels, H, W]` of any size that leaves a pixel at the end and returns
    logits `[N, num_classes]`; in training mode with `aux_logits`, `GoogLeNetOutputs`.
    `modules` names rows of table 1. `width` is the channels of the first convolution; all others scale with it. `stem`
    replaces the paper's stem (7x7 stride 2, pooling, 1x1, 3x3, pooling: 1/8 of the side) by one convolution of that
    (kernel_size, stride, padding). `kernel5` is the kernel of the 5x5 branches, `lrn` the normalisation of the paper's
    stem, `last_pool` the kernel of the pooling before stage 5, `paper_aux` the paper's 5x5 pooling in the auxiliary
    classifiers. Raises ValueError for arguments and, in `forward`, for images that do not fit.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        modules: Sequence[str] = tuple(INCEPTION_WIDTHS),
        width: int = 64,
        stem: tuple[int, int, int] | None = None,
        kernel5: int = 5,
        batch_norm: bool = False,
        lrn: bool = True,
        last_pool: int = 3,
        aux_logits: bool = True,
        paper_aux: bool = True,
        dropout: float = 0.4,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, width=width)
        if not modules or list(modules) != [name for name in INCEPTION_WIDTHS if name in modules]:
            raise ValueError(f"modules are some of {[*INCEPTION_WIDTHS]}, in this order; got {modules!r}.")
        if aux_logits and not set(AUX_AFTER) <= set(modules):
            raise ValueError(f"The auxiliary classifiers stand on modules 4a and 4d; got only {modules!r}.")
        self.in_channels, self.aux_logits = in_channels, aux_logits

        conv = partial(ConvBlock, batch_norm=batch_norm)
        pool = partial(nn.MaxPool2d, stride=2, ceil_mode=True)
        self.conv1 = conv(in_channels, width, *(stem or (7, 2, 3)))  # 224x224 -> 112x112
        channels = width
        if stem is None:
            channels = scaled(192, width)
            self.maxpool1 = pool(3)  # -> 56x56
            if lrn:  # the paper names no constants; these are AlexNet's
                self.norm1 = local_response_norm()
            self.conv2 = conv(width, width, 1)
            self.conv3 = conv(width, channels, 3)
            if lrn:
                self.norm2 = local_response_norm()
            self.maxpool2 = pool(3)  # -> 28x28
        for previous, name in pairwise(("", *modules)):
            if previous and previous[0] != name[0]:  # a new stage
                self.add_module(f"maxpool{previous[0]}", pool(last_pool if name[0] == "5" else 3))
            widths = [scaled(full, width) for full in INCEPTION_WIDTHS[name]]
            module = Inception(channels, widths, batch_norm=batch_norm, kernel5=kernel5)
            self.add_module(f"inception{name}", module)
            channels = module.out_channels
            if aux_logits and name in AUX_AFTER:
                options = {"width": width, "batch_norm": batch_norm, "paper_pool": paper_aux}
                self.add_module(AUX_AFTER[name], InceptionAux(channels, num_classes, **options))
        self.min_size = smallest_size(getattr(layer, "conv", layer) for layer in self.children())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self, initialisation)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        check_images(x, self.in_channels, self.min_size, "GoogLeNet")
        auxiliary = []
        for name, layer in self.named_children():
            if name == "avgpool":
                break
            if not name.startswith("aux"):
                x = layer(x)
            elif self.training:
                auxiliary.append(layer(x))
        logits = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return GoogLeNetOutputs(logits, *reversed(auxiliary)) if auxiliary else logits


def googlenet(variant: str = "paper", aux_logits: bool = True, **options) -> GoogLeNet:
    """GoogLeNet for 224x224 images; with 1000 classes the paper's form has 6,998,552 parameters.

    "paper" has 5x5 kernels, biases, local response normalisation and no batch norm; its auxiliary classifiers
    add 6,379,728 parameters. "torchvision" takes and gives torchvision's weights; it has batch norm and 3x3 in the
    5x5 branch. `options`, such as num_classes=10, go to `GoogLeNet`. Raises ValueError for another variant.
    """
    check_choice("variant", variant, ("paper", "torchvision"))
    if variant == "torchvision":  # the 3x3 is its known bug, kept for the published weights: vision issue 906
        theirs = {"kernel5": 3, "batch_norm": True, "lrn": False, "last_pool": 2, "paper_aux": False}
        options = theirs | {"dropout": 0.2} | options
    return GoogLeNet(aux_logits=aux_logits, **options)


def mini_googlenet(num_classes: int = 10, in_channels: int = 1, **options) -> GoogLeNet:
    """GoogLeNet for 28x28 images: the same class with fewer channels and modules, and a smaller stem.

    `options` go to `GoogLeNet`; by default modules=MINI_MODULES, width=16, stem=(3, 2, 1), batch norm, no dropout, no
    auxiliary classifiers: where asked for, they stand on 7x7 maps, of which the paper's pooling would leave one number.
    """
    small = {"modules": MINI_MODULES, "width": 16, "stem": (3, 2, 1), "batch_norm": True, "dropout": 0.0}
    small |= dict.fromkeys(("lrn", "aux_logits", "paper_aux"), False)
    return GoogLeNet(num_classes, in_channels, **small | options)


def auxiliary_loss(outputs: Tensor | GoogLeNetOutputs, targets: Tensor) -> Tensor:
    """Cross entropy of the logits `[N, classes]`, + AUX_WEIGHT times that of each auxiliary classifier (section 5)."""
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    main, *auxiliary = (F.cross_entropy(logits, targets) for logits in outputs)
    return main + AUX_WEIGHT * sum(auxiliary)
