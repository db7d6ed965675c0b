"""network_explorer: a whole network, layer by layer: what it holds, what it costs, what it sees."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import log10
from typing import Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry import LayerRow, ReceptiveField
from course_utils.words import shape, short

ROWS = ("blocks", "layers")
SIZES = (28, 32, 64, 96, 128, 160, 192, 224, 227, 256, 320, 384, 448, 512)
_ALL, _PITCH, _BAR, _FIELD_BAR = layout.WIDTH - 2 * layout.MARGIN, 19, 40, 66  # pixels
# The widest that may stand there; the heads are wider than the bars and numbers below them.
_COLUMNS = ("inception3a.branch2.0.conv", "888 × 888 × 888", 96, 96, 96, 96, 115)
_SCALES = {"log": "bars grow with the logarithm", "linear": "bars grow in proportion"}
_MEASURES = {"units": svg.SKY, "weights": svg.ORANGE, "connections": svg.PURPLE, "macs": svg.BLUE}


class Network(NamedTuple):
    """How a reader makes a network, what it takes, and the `size` that its paper took."""

    code: str
    in_channels: int = 3
    size: int = 224


NETWORKS = {"LeNet-5": Network("lenet5()", 1, 32), "AlexNet": Network('alexnet("2012")', size=227)}
NETWORKS |= {"VGG-16": Network("vgg16()"), "GoogLeNet": Network("googlenet()")}
NETWORKS |= {"ResNet-18": Network("resnet18()"), "ResNet-50": Network("resnet50()")}


def call(name: str, size: int) -> str:
    """How a reader makes one of them for images of so many pixels a side."""
    return "lenet5(input_size=28)" if (name, size) == ("LeNet-5", 28) else NETWORKS[name].code


def describe(data: Values | None = None) -> Description:
    """A network as a table: units, weights, connections, multiply-adds and receptive field of each layer.

    `initial` sets any of network, input_size (that of the network's paper if not given), rows ("blocks" or "layers"),
    scale ("log" or "linear") and layer (the selected row). `state["code"]` is the call that gives these numbers.
    Units, connections and multiply-adds are those of convolutions, pooling and linear layers, as in lecture 12.
    """
    controls = {
        "network": choice("network", NETWORKS, "AlexNet"),
        "input_size": choice("input size", SIZES, 227, slides=True, at_rest=True),  # a new table takes 50 ms
        "rows": choice("rows", ROWS, "blocks"),
        "scale": choice("bars", _SCALES, "log"),
        "layer": slider("selected row", 0, 0, 23),
    }
    title = "A network layer by layer: units, weights, connections, multiply-adds, receptive field."
    return Description(title, controls, draw_network, follow=_follow, prepare=every_key())


def _follow(before: Values, values: Values, moved: Sequence[str], data: Values) -> dict[str, Any]:
    """Another network starts at the size that its paper has."""
    alone = "network" in moved and "input_size" not in moved
    return {**values, "input_size": NETWORKS[values["network"]].size if alone else values["input_size"]}


def every_key() -> Iterator[str]:
    """The keys of all tables that the menus can ask for."""
    return (f"table/{network}/{size}/{rows}" for network, size, rows in product(NETWORKS, SIZES, ROWS))


def _read_row(row: Sequence[Any]) -> LayerRow:
    name, kind, in_shape, out_shape, *numbers, field = row
    seen = ReceptiveField(*map(tuple, field)) if field else None
    return LayerRow(name, kind, tuple(in_shape), tuple(out_shape), *numbers, receptive_field=seen)


def draw_network(values: Values, data: Values) -> Picture:
    """The picture of one setting; raises ValueError for a size that the network does not take."""
    name, side = values["network"], values["input_size"]
    found = data[f"table/{name}/{side}/{values['rows']}"]
    if "refused" in found:
        raise ValueError(found["refused"])
    rows, names, total = tuple(map(_read_row, found["rows"])), found["names"], found["total"]
    in_shape, selected = (NETWORKS[name].in_channels, side, side), min(values["layer"], len(rows) - 1)
    # Column by column: what a column's words share is said once, which halves the bytes.
    shapes = words(*(shape(row.out_shape) for row in rows), fill=svg.MUTED, align="r", pitch=_PITCH)
    measures = (_measure([getattr(row, m) for row in rows], m, values["scale"]) for m in _MEASURES)
    rule = layout.box(_ALL, 1, svg.LINE)
    lit = layout.shift(layout.box(_ALL, _PITCH, svg.RAISED, rx=3), 0, selected * _PITCH)
    sums = (layout.shift(words(short(total[m]), bold=True), _BAR + 5) for m in _MEASURES)
    key = (svg.GREEN, "field inside the input"), (svg.VERMILION, "field wider than the input")
    norms = total["params"] - total["weights"] - total["biases"]
    note = f" ({norms:,} of them in batch normalisation)" if norms else ""
    picture = layout.page(
        f"{name}: {total['params']:,} parameters, {total['macs']:,} multiply-adds.",
        words(f"{name}, input {shape(in_shape)}", size=16, bold=True),
        words(f"{total['params']:,} parameters{note}, {total['macs']:,} multiply-adds"),
        _details(names[selected], rows[selected]),
        layout.space(0, 4),
        _cells(*(words(head, bold=True) for head in ("layer", "output", *_MEASURES, "receptive field"))),
        rule,
        layout.over(lit, _cells(words(*names, pitch=_PITCH), shapes, *measures, _fields(rows, side))),
        rule,
        _cells(words("total", bold=True), "", *sums, ""),
        layout.row(words(_SCALES[values["scale"]], fill=svg.MUTED), layout.legend(*key), gap=200),
        gap=3,
    )
    state = {"in_shape": in_shape, "rows": rows, "names": tuple(names), "total": total, "selected": selected}
    state["code"] = f"layer_table({call(name, side)}, {in_shape})"
    return Picture(picture, state, limits={"layer": len(rows) - 1})


def _details(name: str, row: LayerRow) -> Block:
    """The selected row in exact numbers, on two lines."""
    within = "with" if row.kind == "block" else "="  # a block's inner layers have units too
    field, seen = row.receptive_field, "there is no single receptive field"
    if field and field.stride[0]:
        seen = f"sees {shape(field.size)} pixels, its neighbour's lie {field.stride[0]} further on"
    elif field:
        seen = "sees the whole input"
    first = f"{name}: {shape(row.in_shape)} → {shape(row.out_shape)} {within} {row.units:,} units; "
    first += f"{row.weights:,} weights + {row.biases:,} biases"
    second = f"{row.connections:,} connections, {row.macs:,} multiply-adds; {seen}"
    return layout.column(words(first, bold=True, most=_ALL), words(second, most=_ALL), gap=0)


def _cells(*cells: Block | str) -> Block:
    return layout.table([cells], "lrlllll", gap=8, least=_COLUMNS)


def _measure(values: Sequence[int], name: str, scale: str) -> Block:
    """A column of bars with their numbers; nothing where the measure is 0."""
    most = max(*values, 1)
    shares = [log10(1 + v) / log10(1 + most) if scale == "log" else v / most for v in values]
    numbers = words(*(short(v) if v else "" for v in values), pitch=_PITCH)
    return layout.row(_bars(shares, _BAR, _MEASURES[name]), numbers, gap=5)


def _bars(shares: Sequence[float], width: float, fill: str) -> Block:
    """A bar a row, nothing where the share is 0."""

    def draw(x: float, y: float) -> str:
        bars = [(x, y + i * _PITCH + 4, max(s * width, 1), _PITCH - 8) for i, s in enumerate(shares) if s]
        return svg.boxes(bars, fill)

    return Block(width, len(shares) * _PITCH, draw)


def _fields(rows: Sequence[LayerRow], side: int) -> Block:
    """Receptive fields as bars against the input's side, in another colour where they are wider than it."""
    fields = [row.receptive_field for row in rows]  # None, or with a stride of 0 the whole input
    shares = [0 if f is None else f.size[0] / side if f.stride[0] else 1 for f in fields]
    said = ["" if f is None else str(f.size[0]) if f.stride[0] else "whole" for f in fields]
    inside = _bars([share if share <= 1 else 0 for share in shares], _FIELD_BAR, svg.GREEN)
    beyond = _bars([share > 1 for share in shares], _FIELD_BAR, svg.VERMILION)
    return layout.row(layout.over(inside, beyond), words(*said, pitch=_PITCH), gap=5)
