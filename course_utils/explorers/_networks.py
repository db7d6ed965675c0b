"""The networks that explorers offer: how to build each, what it takes, and its layer tables, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import torch
from torch import nn

from course_utils.geometry import LayerRow, LayerTable, layer_table
from course_utils.models.alexnet import ALEXNET_WIDTHS, AlexNet, alexnet
from course_utils.models.googlenet import googlenet
from course_utils.models.lenet import lenet5
from course_utils.models.resnet import resnet18, resnet50
from course_utils.models.vgg import VGG, VGG_CONFIGURATIONS, vgg16

COUNTED = ("conv", "pool", "linear")  # the layers whose units and connections lecture 12 counts


@dataclass(frozen=True)
class Network:
    """A network of the course.

    `build(size)` makes it for images of `size` pixels a side; `code` says how a reader does. `size` is what the
    paper took. Layers whose names agree in their first `depth` parts are one block.
    """

    name: str
    build: Callable[[int], nn.Module]
    code: str
    in_channels: int = 3
    size: int = 224
    depth: int = 3


NETWORKS = {
    network.name: network
    for network in (
        Network("LeNet-5", lambda size: lenet5(input_size=28 if size == 28 else 32), "lenet5()", 1, 32),
        Network("AlexNet", lambda size: alexnet("2012"), 'alexnet("2012")', size=227),
        Network("VGG-16", lambda size: vgg16(), "vgg16()"),
        Network("GoogLeNet", lambda size: googlenet(), "googlenet()", depth=1),
        Network("ResNet-18", lambda size: resnet18(), "resnet18()", depth=2),
        Network("ResNet-50", lambda size: resnet50(), "resnet50()", depth=2),
    )
}


def light_alexnet() -> nn.Module:
    """The AlexNet that takes 224 pixels, without the weight of its classifier."""
    return AlexNet(
        ALEXNET_WIDTHS["2014"], num_classes=1, in_channels=3, stem=(11, 4, 2), hidden=1, dropout_first=True
    )


def light_vgg16() -> nn.Module:
    """VGG-16 without the weight of its classifier."""
    return VGG(VGG_CONFIGURATIONS["D"], num_classes=1, in_channels=3, hidden=1)


def network_table(name: str, size: int) -> LayerTable:
    """`layer_table` of one of NETWORKS for images of `size` pixels a side.

    Raises ValueError for a size that the network does not take.
    """
    found = _table_or_reason(name, size)
    if isinstance(found, str):
        raise ValueError(found)
    return found


@lru_cache(128)
def _table_or_reason(name: str, size: int) -> LayerTable | str:
    """The table, or the sentence that says why there is none: a cache keeps no exceptions."""
    network = NETWORKS[name]
    try:
        with torch.device("meta"):  # no memory for the weights
            model = network.build(size)
        return layer_table(model, (network.in_channels, size, size))
    except ValueError as error:
        return str(error)


def block_of(layer: str, depth: int) -> str:
    """The block that a layer belongs to: `block_of("layer1.0.conv2", 2)` is "layer1.0"."""
    return ".".join(layer.split(".")[:depth])


def blocks(table: Iterable[LayerRow], depth: int) -> list[list[LayerRow]]:
    """The rows in runs of the same block."""
    return [list(run) for _, run in groupby(table, lambda row: block_of(row.name, depth))]


def spoken_names(rows: Iterable[LayerRow]) -> list[str]:
    """What to call each layer: numbered by kind where its own name only says its place ("features.3")."""
    names, weighted, pools = [], 0, 0
    for row in rows:
        weighted += row.kind in ("conv", "linear")
        pools += row.kind == "pool"
        word = {"conv": f"conv{weighted}", "linear": f"fc{weighted}", "pool": f"pool{pools}"}
        placed = row.name.split(".")[0] in ("features", "classifier") or row.name.isdigit()
        names.append(word.get(row.kind, row.name) if placed else row.name)
    return names
