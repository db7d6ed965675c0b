"""vgg_explorer: a stack of small kernels against one large kernel, and two of the paper's configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Any

from course_utils.explorers import svg_old as svg
from course_utils.explorers.description import Description, Picture, choice, slider
from course_utils.geometry.sizes import LayerSize, conv_layer, linear_layer, pool_layer
from course_utils.papers import VGG_CONFIGURATIONS, kernel_and_channels

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

_KERNELS = (1, 3, 5, 7)
_INPUT = (3, 224, 224)
_FULLY_CONNECTED = (4096, 4096, 1000)


def vgg_explorer(**initial: Any) -> Explorer:
    """A stack of small convolutions against a single one of equal reach, and two VGG configurations side by side.

    `initial` sets any of kernel_size (1, 3, 5 or 7, of each layer in the stack), layers (1 to 5), channels (the
    same before and after each layer), size (the side of the maps in pixels), left and right (configurations:
    "A", "A-LRN", "B", "C", "D", "E"). The state holds both sides' receptive_field, weights (without biases),
    macs, nonlinearities and units, and the layers in which the configurations differ.
    Raises ValueError for a name or value that the controls do not offer.
    Source: Simonyan & Zisserman 2015, section 2.3 and table 1.
    """
    from course_utils.explorers.base import Explorer

    return Explorer(describe(), initial=initial)


def describe(data: Mapping[str, Any] | None = None) -> Description:
    """Controls and drawing function; they need no data."""
    controls = {
        "kernel_size": choice("kernel_size", [(f"{k}×{k}", k) for k in _KERNELS], 3),
        "layers": slider("layers", 3, 1, 5),
        "channels": slider("channels", 64, 8, 512, 8),
        "size": slider("size", 56, 7, 224, 7),
        "left": choice("left", list(VGG_CONFIGURATIONS), "D"),
        "right": choice("right", list(VGG_CONFIGURATIONS), "E"),
    }
    title = (
        "A stack of small convolutions against a single large one, and two VGG configurations side by side."
    )
    return Description(title, controls, draw_vgg)


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """Convolutions one after the other that keep the maps' size, each followed by a ReLU."""

    layers: int
    kernel_size: int
    channels: int
    size: int

    @property
    def _one(self) -> LayerSize:
        shape = (self.channels, self.size, self.size)
        return conv_layer(shape, self.channels, self.kernel_size, padding="same", bias=False)

    def numbers(self) -> dict[str, int]:
        one = self._one
        return {
            "receptive_field": 1 + self.layers * (self.kernel_size - 1),
            "weights": self.layers * one.weights,
            "macs": self.layers * one.macs,
            "nonlinearities": self.layers,
            "units": self.layers * one.units,
        }

    @property
    def name(self) -> str:
        many = "1 layer" if self.layers == 1 else f"{self.layers} layers"
        return f"{many} of {self.kernel_size}×{self.kernel_size}"


@lru_cache(32)
def paths(layers: int, kernel_size: int) -> tuple[int, ...]:
    """Ways from each pixel of a row of the receptive field to the output; in the plane they multiply."""
    ways = [1]
    for _ in range(layers):
        wider = [0] * (len(ways) + kernel_size - 1)
        for at, n in enumerate(ways):
            for step in range(kernel_size):
                wider[at + step] += n
        ways = wider
    return tuple(ways)


@dataclass(frozen=True)
class Slot:
    """One layer of a configuration as table 1 writes it, with its parameters and multiply-adds."""

    name: str
    params: int
    macs: int


@cache
def slots(configuration: str) -> tuple[tuple[Slot, ...], ...]:
    """The layers of each of the five stages, and the fully connected ones, for a 224x224 image."""
    shape, stages = _INPUT, []
    for names in VGG_CONFIGURATIONS[configuration]:
        stage = []
        for name in names:
            if name == "LRN":
                stage.append(Slot(name, 0, 0))
                continue
            kernel_size, channels = kernel_and_channels(name)
            layer = conv_layer(shape, channels, kernel_size, padding="same")
            stage.append(Slot(name, layer.params, layer.macs))
            shape = layer.out_shape
        stages.append(tuple(stage))
        shape = pool_layer(shape, kernel_size=2).out_shape
    features, last = shape[0] * shape[1] * shape[2], []
    for out in _FULLY_CONNECTED:
        layer = linear_layer(features, out)
        last.append(Slot(f"FC-{out}", layer.params, layer.macs))
        features = out
    return (*stages, tuple(last))


def _totals(configuration: str) -> dict[str, Any]:
    every = [slot for stage in slots(configuration) for slot in stage]
    return {
        "configuration": configuration,
        "weight_layers": sum(slot.params > 0 for slot in every),
        "params": sum(slot.params for slot in every),
        "macs": sum(slot.macs for slot in every),
    }


def _pairs(left: str, right: str) -> list[list[tuple[Slot | None, Slot | None]]]:
    """The layers of both, stage by stage; None where one has no counterpart."""
    both = zip(slots(left), slots(right), strict=True)
    return [list(zip_longest(*stages)) for stages in both]


def _differences(left: str, right: str) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "place": place,
            "left": a.name if a else None,
            "right": b.name if b else None,
            "params": (b.params if b else 0) - (a.params if a else 0),
            "macs": (b.macs if b else 0) - (a.macs if a else 0),
        }
        for stage, pairs in enumerate(_pairs(left, right), 1)
        for place, (a, b) in enumerate(pairs, 1)
        if a != b
    ]


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 880, 596
_SIDE, _MAP_Y, _MAPS = 168, 34, (8, 288)
_ROWS_Y, _ROW = 268, 42
_BAR_X, _BAR_WIDTH, _VALUE_X, _RATIO_X = 134, 176, 320, 540
_RIGHT, _COLUMN, _DIFFERENCE_X = 584, (584, 692), 872
_CELL, _LAYER, _STAGE_GAP = 98, 20, 7
_ROW_NAMES = {
    "receptive_field": "receptive field",
    "weights": "weights",
    "macs": "multiply-adds",
    "nonlinearities": "ReLUs",
    "units": "units stored",
}
_STACK, _SINGLE = svg.BLUE, svg.ORANGE


def draw_vgg(values: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> Picture:
    """The picture of one setting."""
    kernel_size, layers, channels, size = (values[k] for k in ("kernel_size", "layers", "channels", "size"))
    stack = Reach(layers, kernel_size, channels, size)
    single = Reach(1, 1 + layers * (kernel_size - 1), channels, size)
    left, right = values["left"], values["right"]
    words, differences = _sentences(stack, single), _differences(left, right)
    state = {
        "stack": stack.numbers(),
        "single": single.numbers(),
        "left": _totals(left),
        "right": _totals(right),
        "differences": differences,
    }
    said = _said(left, right, differences)
    body = [
        _map(_MAPS[0], stack, _STACK),
        _map(_MAPS[1], single, _SINGLE),
        _measures(state["stack"], state["single"]),
        *(svg.text(8, _HEIGHT - 102 + 21 * n, line, bold=n == 1) for n, line in enumerate(words)),
        svg.line(_RIGHT - 22, 8, _RIGHT - 22, _HEIGHT - 8),
        _configurations(left, right),
        _sums(state["left"], state["right"], said),
    ]
    return Picture(svg.document(_WIDTH, _HEIGHT, f"{' '.join(words)} {said}", *body), state)


def _map(x: float, reach: Reach, colour: str) -> str:
    """The receptive field, each pixel stronger in colour the more ways lead from it to the output."""
    ways = paths(reach.layers, reach.kernel_size)
    cell, most = _SIDE / len(ways), max(ways) ** 2
    shades: dict[int, list] = {}
    for row, down in enumerate(ways):
        # 8 shades can be told apart; pixels beside each other with the same one are a single box.
        of_row = [max(round(8 * (down * across / most) ** 0.5), 1) for across in ways]
        column = 0
        for shade, run in groupby(of_row):
            width = len(list(run))
            box = (x + column * cell, _MAP_Y + row * cell, width * cell, cell)
            shades.setdefault(shade, []).append(box)
            column += width
    count = "1" if most == 1 else f"1 to {most:,}"
    return "".join(
        [
            svg.rect(x, 8, 14, 14, colour),
            svg.text(x + 20, 20, reach.name, bold=True),
            *(svg.boxes(boxes, _tint(colour, shade / 8)) for shade, boxes in sorted(shades.items())),
            svg.grid(x, _MAP_Y, len(ways), len(ways), cell, svg.BACKGROUND, 0.6),
            svg.rect(x, _MAP_Y, _SIDE, _SIDE, stroke=svg.MUTED),
            svg.text(x, _MAP_Y + _SIDE + 20, f"paths per pixel: {count}", fill=svg.MUTED),
        ]
    )


def _tint(colour: str, share: float) -> str:
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {share:.2f})"


def _measures(stack: dict[str, int], single: dict[str, int]) -> str:
    """Two bars for each measure, on one scale."""
    drawn = [svg.text(_RATIO_X, _ROWS_Y - 14, "stack ÷ single", anchor="end", fill=svg.MUTED)]
    for n, (key, name) in enumerate(_ROW_NAMES.items()):
        y, most = _ROWS_Y + n * _ROW, max(stack[key], single[key])
        drawn += [
            svg.text(8, y + 19, name),
            svg.text(_RATIO_X, y + 12, f"{stack[key] / single[key]:.2f}", anchor="end", bold=True),
        ]
        for line, (numbers, colour) in enumerate(((stack, _STACK), (single, _SINGLE))):
            top = y + 16 * line
            drawn += [
                svg.bar(_BAR_X, top + 2, _BAR_WIDTH, 11, numbers[key] / most, colour, f"{numbers[key]:,}"),
                svg.text(_VALUE_X, top + 12, _value(key, numbers[key])),
            ]
    return "".join(drawn)


def _value(key: str, number: int) -> str:
    if key == "receptive_field":
        return f"{number} × {number}"
    return f"{number:,}" if key in ("weights", "nonlinearities") else svg.short(number)


def _configurations(left: str, right: str) -> str:
    """Two columns of layers; those without an equal counterpart are framed and their difference named."""
    drawn, y = [], 32
    for x, letter in zip(_COLUMN, (left, right), strict=True):
        drawn.append(svg.text(x + _CELL / 2, 20, letter, 16, "middle", bold=True))
    drawn.append(svg.text(_DIFFERENCE_X, 20, "params", anchor="end", fill=svg.MUTED))
    for pairs in _pairs(left, right):
        for a, b in pairs:
            drawn += [_layer(x, y, slot, a != b) for x, slot in zip(_COLUMN, (a, b), strict=True)]
            if a != b:
                change = (b.params if b else 0) - (a.params if a else 0)
                drawn.append(svg.text(_DIFFERENCE_X, y + 14, _signed(change), anchor="end", bold=True))
            y += _LAYER
        y += _STAGE_GAP
    return "".join(drawn)


def _layer(x: float, y: float, slot: Slot | None, differs: bool) -> str:
    if slot is None:
        return svg.text(x + _CELL / 2, y + 14, "–", anchor="middle", fill=svg.MUTED)
    fill, edge = (_tint(svg.VERMILION, 0.22), svg.VERMILION) if differs else (svg.SURFACE, svg.LINE)
    box = svg.rect(
        x,
        y,
        _CELL,
        _LAYER - 3,
        fill,
        edge,
        2 if differs else 1,
        radius=3,
        title=f"{slot.params:,} parameters",
    )
    return box + svg.text(x + _CELL / 2, y + 13.5, slot.name, anchor="middle", bold=differs)


def _sums(left: dict[str, Any], right: dict[str, Any], said: str) -> str:
    drawn, y = [], _HEIGHT - 102
    for name, key in (("parameters", "params"), ("multiply-adds", "macs")):
        drawn.append(svg.text(_RIGHT, y, name, fill=svg.MUTED))
        for x, numbers in zip(_COLUMN, (left, right), strict=True):
            drawn.append(svg.text(x + _CELL, y + 18, svg.short(numbers[key]), anchor="end"))
        change = right[key] - left[key]
        drawn.append(svg.text(_DIFFERENCE_X, y + 18, _signed(change), anchor="end", bold=True))
        y += 38
    return "".join(drawn) + svg.text(_RIGHT, y + 8, said)


def _signed(change: int) -> str:
    return "0" if not change else f"{'+' if change > 0 else '−'}{svg.short(abs(change))}"


# --- the words ----------------------------------------------------------------------------------------


def _sentences(stack: Reach, single: Reach) -> list[str]:
    n, k, reach = stack.layers, stack.kernel_size, single.kernel_size
    weights = (
        f"{n} · {k}² · C² = {n * k * k} C² weights in the stack, {reach}² · C² = {reach**2} C² in one layer."
    )
    if n == 1:
        return [weights, "A stack of one is the single layer itself. Add a layer."]
    if k == 1:
        return [
            weights,
            "1×1 kernels mix channels and never widen the receptive field:",
            f"the stack sees one pixel, but it bends {n} times.",
        ]
    fewer, more = 1 - n * k * k / reach**2, reach**2 / (n * k * k) - 1
    return [
        weights,
        f"So the stack has {100 * fewer:.0f} % fewer; the single layer has {100 * more:.0f} % more.",
        f"{n} ReLUs instead of 1. Without {_between(n)}, the stack would be",
        f"one {reach}×{reach} kernel: linear, and no richer than the single layer.",
    ]


def _between(layers: int) -> str:
    return "the one between" if layers == 2 else f"the {layers - 1} between"


def _said(left: str, right: str, differences: list) -> str:
    if not differences:
        return "The same network twice."
    layers = "1 place" if len(differences) == 1 else f"{len(differences)} places"
    return f"{left} and {right} differ in {layers}."
