"""Tables of the papers as data, for the models and for pictures that are drawn without torch."""

import re
from collections.abc import Sequence
from typing import NamedTuple


def scaled(channels: int, width: int) -> int:
    """So many channels of GoogLeNet's where its first convolution has `width` in place of 64, at least 1."""
    return max(1, round(channels * width / 64))


class InceptionWidths(NamedTuple):
    """Output channels of the six convolutions of an inception module, in the order of the paper's table 1."""

    one: int  # the 1x1 branch
    reduce3: int  # the 1x1 before the 3x3
    three: int
    reduce5: int  # the 1x1 before the 5x5
    five: int
    pool: int  # the 1x1 after the max pooling

    @property
    def out_channels(self) -> int:
        """Channels of the module's output: the four branches side by side."""
        return self.one + self.three + self.five + self.pool


# Table 1, rows "inception (3a)" to "inception (5b)"; a max pooling stands between stages, which the digit tells
INCEPTION_WIDTHS: dict[str, InceptionWidths] = {
    "3a": InceptionWidths(64, 96, 128, 16, 32, 32),
    "3b": InceptionWidths(128, 128, 192, 32, 96, 64),
    "4a": InceptionWidths(192, 96, 208, 16, 48, 64),
    "4b": InceptionWidths(160, 112, 224, 24, 64, 64),
    "4c": InceptionWidths(128, 128, 256, 24, 64, 64),
    "4d": InceptionWidths(112, 144, 288, 32, 64, 64),
    "4e": InceptionWidths(256, 160, 320, 32, 128, 128),
    "5a": InceptionWidths(256, 160, 320, 32, 128, 128),
    "5b": InceptionWidths(384, 192, 384, 48, 128, 128),
}

Stages = Sequence[Sequence[str]]


def vgg_stages(*counts: int) -> Stages:
    widths = (64, 128, 256, 512, 512)
    return tuple((f"conv3-{width}",) * count for width, count in zip(widths, counts, strict=False))


# Simonyan & Zisserman 2015, Table 1: "conv<kernel size>-<channels>"; a 2x2 max pooling ends each stage.
A, B = vgg_stages(1, 1, 2, 2, 2), vgg_stages(2, 2, 2, 2, 2)
VGG_CONFIGURATIONS: dict[str, Stages] = {
    "A": A,
    "A-LRN": ((*A[0], "LRN"), *A[1:]),
    "B": B,
    "C": (*B[:2], *((*stage, stage[0].replace("conv3", "conv1")) for stage in B[2:])),
    "D": vgg_stages(2, 2, 3, 3, 3),
    "E": vgg_stages(2, 2, 4, 4, 4),
}


def kernel_and_channels(layer: str) -> tuple[int, int]:
    """Kernel size and output channels: `"conv3-64"` gives `(3, 64)`; raises ValueError for "LRN" and all else."""
    found = re.fullmatch(r"conv(\d+)-(\d+)", layer)
    if not found:
        raise ValueError(f'A convolution is "conv<kernel size>-<channels>", e.g. "conv3-64"; got {layer!r}.')
    return int(found[1]), int(found[2])
