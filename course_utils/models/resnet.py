"""Residual networks (He et al. 2016, "Deep residual learning for image recognition") and plain twins."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.checks import check_choice, check_images, check_positive, smallest_size


class PadShortcut(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the new channels; it has no parameters."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, kernel_size=1, stride=self.stride)  # a 1x1 window only picks pixels
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """What the two blocks share: the residual function `residual(x)` and the shortcut around it.

    `downsample` changes the shape of the shortcut where the block changes it (None is the identity).
    With `skip=False` there is no shortcut: the block of a plain network.
    """

    expansion: int

    def __init__(self, downsample: nn.Module | None, stride: int, skip: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU()  # not in place, so that a hook on bn1 sees what bn1 computed
        self.downsample, self.stride, self.skip = downsample, stride, skip

    def residual(self, x: Tensor) -> Tensor:
        """F(x): the block's convolutions, without the last ReLU."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        if self.skip:
            out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)


class BasicBlock(Block):
    """Two 3x3 convolutions (figure 5, left): `[N, in_channels, H, W]` to `[N, channels, H', W']`."""

    expansion = 1

    def __init__(self, in_channels, channels, stride=1, downsample=None, *, skip=True, norm=True) -> None:
        super().__init__(downsample, stride, skip)
        self.conv1 = _conv(in_channels, channels, 3, stride, norm)
        self.bn1 = _norm(channels, norm)
        self.conv2 = _conv(channels, channels, 3, 1, norm)
        self.bn2 = _norm(channels, norm)

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(Block):
    """1x1, 3x3, 1x1 (figure 5, right): `[N, in_channels, H, W]` to `[N, 4 channels, H', W']`.

    The stride is in the 3x3 (torchvision's "v1.5") or the first 1x1 (the paper's "v1"), which skips 3 of 4 pixels.
    """

    expansion = 4

    def __init__(
        self, in_channels, channels, stride=1, downsample=None, *, skip=True, norm=True, variant="v1.5"
    ) -> None:
        super().__init__(downsample, stride, skip)
        stride1, stride2 = (stride, 1) if variant == "v1" else (1, stride)
        self.conv1 = _conv(in_channels, channels, 1, stride1, norm)
        self.bn1 = _norm(channels, norm)
        self.conv2 = _conv(channels, channels, 3, stride2, norm)
        self.bn2 = _norm(channels, norm)
        self.conv3 = _conv(channels, channels * self.expansion, 1, 1, norm)
        self.bn3 = _norm(channels * self.expansion, norm)

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pooling, one linear layer.

    `forward` takes images `[N, in_channels, H, W]` of any size and returns logits `[N, num_classes]`.
    `stages` is the number of blocks per stage, of which all but the first start with stride 2, `widths` the channels of
    each (a bottleneck puts out four times as many). `stem` replaces the paper's stem (7x7 stride 2 and a max pooling)
    by one convolution of that (kernel_size, stride, padding). `shortcut` stands in for the identity: "A" zero padding
    where the shape changes, "B" a 1x1 projection there, "C" one in every block. `skip=False` is the plain network,
    `norm=False` has biases in place of batch norm. Raises ValueError for arguments and images that do not fit.
    Source: sections 3.3 and 4.1, table 1.
    """

    def __init__(
        self,
        block: type[Block],
        stages: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: tuple[int, int, int] | None = None,
        shortcut: str = "B",
        variant: str = "v1.5",
        skip: bool = True,
        norm: bool = True,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, blocks=min(stages))
        check_choice("shortcut", shortcut, "ABC")
        check_choice("variant", variant, ("v1.5", "v1"))
        check_choice("the number of widths", len(widths), [len(stages)])
        self.in_channels = in_channels

        self.conv1 = nn.Conv2d(in_channels, widths[0], *(stem or (7, 2, 3)), bias=not norm)
        self.bn1 = _norm(widths[0], norm)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem is None else None
        options = {"skip": skip, "norm": norm} | ({"variant": variant} if block is Bottleneck else {})
        channels = widths[0]
        for number, (blocks, width) in enumerate(zip(stages, widths, strict=True), 1):
            stage = nn.Sequential()
            for position in range(blocks):
                stride = 2 if number > 1 and position == 0 else 1
                before, channels = channels, width * block.expansion
                downsample = _downsample(before, channels, stride, shortcut, norm) if skip else None
                stage.append(block(before, width, stride, downsample, **options))
            self.add_module(f"layer{number}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self.min_size = smallest_size([self.conv1])  # all other layers pad
        for layer in self.modules():  # section 3.4: as in He et al. 2015; fan_out is torchvision's choice
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels, self.min_size, "ResNet")
        x = self.relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for stage in self._stages():
            x = stage(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))

    @property
    def blocks(self) -> list[nn.Module]:
        """All blocks of all stages, in the order of computation."""
        return [block for stage in self._stages() for block in stage]

    def delete_block(self, index: int) -> None:
        """Take block `index` out, in place: what remains of it is its shortcut, in a plain network the identity.

        Raises ValueError for an index that is not there and for a plain block that changes the shape.
        Source: Veit et al. 2016, "Residual networks behave like ensembles of relatively shallow networks".
        """
        stage, n = self._place(index)
        block = stage[n]
        if isinstance(block, Block):  # and not what remains of one
            if not block.skip and _changes_shape(block):
                raise ValueError(f"Block {index} of this plain network changes the shape: it cannot go.")
            stage[n] = block.downsample or nn.Identity()

    def swap_blocks(self, first: int, second: int) -> None:
        """Exchange two blocks, in place; raises ValueError for blocks of different shapes, or that are not there."""
        (one, n), (other, m) = self._place(first), self._place(second)
        if one is not other or _changes_shape(one[n]) or _changes_shape(one[m]):
            raise ValueError(f"Blocks {first} and {second} have different shapes: they cannot change places.")
        one[n], one[m] = one[m], one[n]

    def _stages(self) -> list[nn.Sequential]:
        return [stage for stage in self.children() if isinstance(stage, nn.Sequential)]

    def _place(self, index: int) -> tuple[nn.Sequential, int]:
        """The stage of a block, and its number in there."""
        places = [(stage, n) for stage in self._stages() for n in range(len(stage))]
        if index not in range(len(places)):
            raise ValueError(f"This network has blocks 0 to {len(places) - 1}; got {index}.")
        return places[index]


# Table 1: the block, and how many of it in conv2_x to conv5_x
RESNET_STAGES = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def _for_imagenet(kind: str, depth: int, **fixed) -> Callable[..., ResNet]:
    def make(variant: str = "v1.5", **options) -> ResNet:
        return ResNet(*RESNET_STAGES[depth], variant=variant, **fixed, **options)

    make.__name__ = make.__qualname__ = f"{kind}{depth}"
    what = "without its shortcuts" if kind == "plain" else "for 224x224 pixels"
    variants = """"v1.5" is torchvision's, "v1" the paper's"""
    make.__doc__ = f"ResNet-{depth} {what}: {variants}. `options` go to `ResNet`."
    return make


resnet18, resnet34, resnet50, resnet101, resnet152 = (_for_imagenet("resnet", d) for d in RESNET_STAGES)
plain18, plain34 = (_for_imagenet("plain", d, skip=False) for d in (18, 34))


def resnet_cifar(depth: int, num_classes: int = 10, in_channels: int = 3, **options) -> ResNet:
    """The paper's network for 32x32 images: three stages of n basic blocks, `depth` = 6n + 2 weight layers.

    `options` go to `ResNet`; by default widths=(16, 32, 64), stem=(3, 1, 1), of which (3, 2, 1) halves the maps, and
    shortcut="A". Raises ValueError for a depth that is not 6n + 2, n >= 1.
    Source: section 4.2; the paper trains 20, 32, 44, 56, 110 and 1202.
    """
    check_positive(depth=depth)
    blocks, rest = divmod(depth - 2, 6)
    if blocks < 1 or rest:
        raise ValueError(f"depth must be 6n + 2 with n of at least 1 (8, 14, 20, 32, ...); got {depth}.")
    paper = {"widths": (16, 32, 64), "stem": (3, 1, 1), "shortcut": "A"}
    return ResNet(BasicBlock, (blocks,) * 3, num_classes, in_channels, **paper | options)


def plain_cifar(depth: int, num_classes: int = 10, in_channels: int = 3, **options) -> ResNet:
    """`resnet_cifar` without its shortcuts; with option A the two have the same parameters."""
    return resnet_cifar(depth, num_classes, in_channels, skip=False, **options)


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: bool) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=not norm)


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


def _downsample(before: int, channels: int, stride: int, shortcut: str, norm: bool) -> nn.Module | None:
    if shortcut != "C" and stride == 1 and before == channels:
        return None
    if shortcut == "A":
        if channels < before:
            raise ValueError(f"Shortcut A pads channels: it cannot go from {before} to {channels}.")
        return PadShortcut(channels - before, stride)
    projection = _conv(before, channels, 1, stride, norm)
    return nn.Sequential(projection, nn.BatchNorm2d(channels)) if norm else projection


def _changes_shape(block: nn.Module) -> bool:
    """Whether a block, or what remains of a deleted one, hands on maps of another shape."""
    if not isinstance(block, Block):
        return not isinstance(block, nn.Identity)
    return block.stride != 1 or block.conv1.in_channels != block.expansion * block.conv1.out_channels
