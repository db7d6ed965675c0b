"""vgg_explorer: a stack of small kernels against one large kernel, and two of the paper's configurations."""

from dataclasses import replace
from functools import cache, lru_cache
from itertools import groupby, pairwise, zip_longest
from math import prod
from typing import Any

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.sizes import LayerSize, conv_layer, linear_layer, pool_layer
from course_utils.papers import VGG_CONFIGURATIONS, kernel_and_channels
from course_utils.words import percent, plural, short

_SIDE, _BAR, _CHIP, _STACK, _SINGLE = 168, 176, (98, 17), svg.BLUE, svg.ORANGE
_PITCH, _STAGE_GAP, _MOST_LAYERS = 20, 7, 2 + 2 + 4 + 4 + 4 + 3
_MEASURES = {  # how each is called and written
    "receptive_field": ("receptive field", "{0} × {0}".format),
    "weights": ("weights", "{:,}".format),
    "macs": ("multiply-adds", short),
    "nonlinearities": ("ReLUs", str),
    "units": ("units stored", short),
}


def describe(data: Values | None = None) -> Description:
    """A stack of small convolutions against a single one of equal reach, and two VGG configurations side by side.

    `initial` sets any of kernel_size (1, 3, 5 or 7, of each layer in the stack), layers (1 to 5), channels (before and
    after each layer), size (the side of the maps in pixels), left and right (configurations: "A", "A-LRN", "B", "C",
    "D", "E"). The state holds the costs of both sides, and the layers in which the configurations differ.
    Source: Simonyan & Zisserman 2015, section 2.3 and table 1.
    """
    controls = {
        "kernel_size": choice("kernel_size", [(f"{k}×{k}", k) for k in (1, 3, 5, 7)], 3),
        "layers": slider("layers", 3, 1, 5),
        "channels": slider("channels", 64, 8, 512, 8),
        "size": slider("size", 56, 7, 224, 7),
        "left": choice("left", list(VGG_CONFIGURATIONS), "D"),
        "right": choice("right", list(VGG_CONFIGURATIONS), "E"),
    }
    title = "Small convolutions in a stack against a single large one"
    return Description(f"{title}, and two VGG configurations side by side.", controls, draw_vgg)


def costs(layers: int, kernel_size: int, channels: int, size: int) -> dict[str, int]:
    """Of convolutions one after the other that keep the maps' size, each followed by a ReLU."""
    one = conv_layer((channels, size, size), channels, kernel_size, padding="same", bias=False)
    summed = {name: layers * getattr(one, name) for name in ("weights", "macs", "units")}
    return {"receptive_field": 1 + layers * (kernel_size - 1), "nonlinearities": layers, **summed}


@lru_cache(32)
def paths(layers: int, kernel_size: int) -> tuple[int, ...]:
    """Ways from each pixel of a row of the receptive field to the output; in the plane they multiply."""
    ways = [1]
    for _ in range(layers):
        places = range(len(ways) + kernel_size - 1)
        ways = [sum(ways[max(place - kernel_size + 1, 0) : place + 1]) for place in places]
    return tuple(ways)


@cache
def layers_of(configuration: str) -> tuple[tuple[LayerSize, ...], ...]:
    """Of each of the five stages, and the fully connected layers, for a 224x224 image; named as in table 1."""
    shape, stages = (3, 224, 224), []
    for names in VGG_CONFIGURATIONS[configuration]:
        stages.append([])
        for name in names:
            layer = LayerSize(name, "norm", shape, shape, *[0] * 5)  # LRN has no weight and no multiply-add
            if name != "LRN":
                kernel_size, channels = kernel_and_channels(name)
                layer = replace(conv_layer(shape, channels, kernel_size, padding="same"), name=name)
            stages[-1].append(layer)
            shape = layer.out_shape
        shape = pool_layer(shape, kernel_size=2).out_shape
    last = [linear_layer(*sizes) for sizes in pairwise((prod(shape), 4096, 4096, 1000))]
    stages.append(replace(layer, name=f"FC-{layer.out_shape[0]}") for layer in last)
    return tuple(map(tuple, stages))


def _totals(configuration: str) -> dict[str, Any]:
    every = [layer for stage in layers_of(configuration) for layer in stage]
    sums = {name: sum(getattr(layer, name) for layer in every) for name in ("params", "macs")}
    return {"configuration": configuration, "weight_layers": sum(layer.params > 0 for layer in every), **sums}


def _pairs(left: str, right: str) -> list[list[tuple[LayerSize | None, LayerSize | None]]]:
    """The layers of both, stage by stage; None where one has no counterpart."""
    return [list(zip_longest(*stages)) for stages in zip(layers_of(left), layers_of(right), strict=True)]


def _more(a: LayerSize | None, b: LayerSize | None) -> dict[str, int]:
    """What the second has more than the first."""
    return {name: getattr(b, name, 0) - getattr(a, name, 0) for name in ("params", "macs")}


def _differences(left: str, right: str) -> list[dict[str, Any]]:
    """The places at which two configurations differ, and what the right one has more."""
    return [
        {"stage": stage, "place": place, "left": a and a.name, "right": b and b.name, **_more(a, b)}
        for stage, pairs in enumerate(_pairs(left, right), 1)
        for place, (a, b) in enumerate(pairs, 1)
        if a != b
    ]


def draw_vgg(values: Values, data: Values | None = None) -> Picture:
    """The picture of one setting."""
    left, right, layers, k = (values[name] for name in ("left", "right", "layers", "kernel_size"))
    maps, reach = (values["channels"], values["size"]), 1 + layers * (k - 1)
    stack, single, differences = costs(layers, k, *maps), costs(1, reach, *maps), _differences(left, right)
    state = {"stack": stack, "single": single, "differences": differences}
    state |= {"left": _totals(left), "right": _totals(right)}
    said, places = _sentences(layers, k, reach), plural(len(differences), "place")
    compared = f"{left} and {right} differ in {places}." if differences else "The same network twice."
    sums = []
    for name, key in (("parameters", "params"), ("multiply-adds", "macs")):
        a, b = state["left"][key], state["right"][key]
        each = [words(short(number), align="r", least=_CHIP[0]) for number in (a, b)]
        sums += [words(name, fill=svg.MUTED), _columns([*each, _change(b - a)])]
    maps = layout.row(_map(layers, k, _STACK), _map(1, reach, _SINGLE), gap=112)
    lines = layout.column(*(words(line, bold=n == 1) for n, line in enumerate(said)), gap=1)
    stacks = layout.column(maps, _measures(stack, single), lines, gap=10)
    networks = layout.column(_networks(left, right), layout.column(*sums, gap=0), compared, gap=8)
    both = [layout.over(layout.space(530), stacks), layout.box(1, networks.height, svg.LINE), networks]
    return Picture(layout.page(f"{' '.join(said)} {compared}", layout.row(*both, gap=20, align="l")), state)


@lru_cache(40)
def _map(layers: int, kernel_size: int, colour: str) -> Block:
    """The receptive field, each pixel stronger in colour the more ways lead from it to the output."""
    ways = paths(layers, kernel_size)
    cell, most = _SIDE / len(ways), max(ways) ** 2

    def draw(x: float, y: float) -> str:
        shades: dict[int, list] = {}
        for row, down in enumerate(ways):
            # 8 shades can be told apart; pixels beside each other with the same one are a single box.
            of_row = [max(round(8 * (down * across / most) ** 0.5), 1) for across in ways]
            for shade, (first, *more) in groupby(range(len(ways)), of_row.__getitem__):
                at = (x + first * cell, y + row * cell, (1 + len(more)) * cell, cell)
                shades.setdefault(shade, []).append(at)
        drawn = [svg.boxes(boxes, colour, f"{shade / 8:g}") for shade, boxes in sorted(shades.items())]
        return "".join(drawn) + svg.grid(x, y, len(ways), _SIDE, svg.BACKGROUND)

    name = words(f"{plural(layers, 'layer')} of {kernel_size}×{kernel_size}", bold=True)
    heading = layout.row(layout.box(14, 14, colour), name)
    field = layout.over(Block(_SIDE, _SIDE, cache(draw)), layout.box(_SIDE, _SIDE, stroke=svg.MUTED))
    told = f"paths per pixel: {1 if most == 1 else f'1 to {most:,}'}"
    return layout.column(heading, field, words(told, fill=svg.MUTED))


def _measures(stack: dict[str, int], single: dict[str, int]) -> Block:
    """Two bars for each measure, on one scale."""
    rows = [["", "", "", words("stack ÷ single", fill=svg.MUTED)]]
    for key, (name, said) in _MEASURES.items():
        a, b = stack[key], single[key]
        both = [layout.bar(n / max(a, b), _BAR, ink, 11, f"{n:,}") for n, ink in ((a, _STACK), (b, _SINGLE))]
        ratio = words(f"{a / b:.2f}", bold=True, align="r")
        rows.append([name, layout.column(*both, gap=5), words(said(a), said(b), pitch=16), ratio])
    return layout.table(rows, "lllr", least=(0, 0, "888,888,888"), pitch=40)


@lru_cache(36)
def _networks(left: str, right: str) -> Block:
    """Two columns of layers; those without an equal counterpart are framed and their difference named."""
    heads = [words(letter, size=16, bold=True, align="c") for letter in (left, right)]
    stages = [_columns([*heads, words("params", fill=svg.MUTED)])]
    stages += [_columns(*(_layers(a, b) for a, b in pairs)) for pairs in _pairs(left, right)]
    room = (1 + _MOST_LAYERS) * (_PITCH + 0.5) + len(stages) * _STAGE_GAP
    both = layout.over(layout.space(0, room), layout.column(*stages, gap=_STAGE_GAP))
    return both._replace(draw=cache(both.draw))  # most moves are of other controls


def _columns(*rows: list[Block | str]) -> Block:
    return layout.table(rows, "ccr", least=(_CHIP[0], _CHIP[0], "+88.88 M"), pitch=_PITCH)


def _layers(a: LayerSize | None, b: LayerSize | None) -> list[Block | str]:
    """A layer of the left network, its counterpart, and the difference of their parameters."""
    missing, drawn = words("–", fill=svg.MUTED, align="c"), []
    edge, fill = (svg.VERMILION, svg.VERMILION + "38") if a != b else (svg.LINE, svg.SURFACE)
    for each in (a, b):
        title = f"{each.params:,} parameters" if each else ""
        drawn.append(layout.chip(each.name, _CHIP, edge, a != b, fill=fill, title=title) if each else missing)
    return [*drawn, _change(_more(a, b)["params"]) if a != b else ""]


def _change(number: int) -> Block:
    sign = "+" if number > 0 else "−" if number else ""
    return words(f"{sign}{short(abs(number))}", bold=True, align="r")


def _sentences(n: int, k: int, reach: int) -> list[str]:
    stack = f"{n} · {k}² · C² = {n * k * k} C² weights in the stack"
    weights = f"{stack}, {reach}² · C² = {reach**2} C² in one layer."
    if n == 1:
        return [weights, "A stack of one is the single layer itself. Add a layer."]
    if k == 1:
        mixing = "1×1 kernels mix channels and never widen the receptive field:"
        return [weights, mixing, f"the stack sees one pixel, but it bends {n} times."]
    between = "the one between" if n == 2 else f"the {n - 1} between"
    fewer, more = percent(1 - n * k * k / reach**2, 0), percent(reach**2 / (n * k * k) - 1, 0)
    compared = f"So the stack has {fewer} fewer; the single layer has {more} more."
    bends = f"{n} ReLUs instead of 1. Without {between}, the stack would be"
    same = f"one {reach}×{reach} kernel: linear, and no richer than the single layer."
    return [weights, compared, bends, same]
