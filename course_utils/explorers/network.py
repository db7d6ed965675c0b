"""network_explorer: a whole network, layer by layer: what it holds, what it costs, what it sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, product
from math import log10
from typing import TYPE_CHECKING, Any

from course_utils import words as spoken
from course_utils.explorers import svg_old as svg
from course_utils.explorers.description import Description, Picture, choice, choice_slider, slider
from course_utils.geometry.fields import ReceptiveField
from course_utils.geometry.table import LayerRow

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

COUNTED = ("conv", "pool", "linear")  # the layers whose units and connections lecture 12 counts
ROWS = ("blocks", "layers")
SIZES = (28, 32, 64, 96, 128, 160, 192, 224, 227, 256, 320, 384, 448, 512)
_MOST_ROWS = 24  # that the slider offers before it is limited by a table


@dataclass(frozen=True)
class Network:
    """A network of the course: how a reader makes it, what it takes, and the `size` that its paper took.

    Layers whose names agree in their first `depth` parts are one block.
    """

    code: str
    in_channels: int = 3
    size: int = 224
    depth: int = 3


NETWORKS = {
    "LeNet-5": Network("lenet5()", 1, 32),
    "AlexNet": Network('alexnet("2012")', size=227),
    "VGG-16": Network("vgg16()"),
    "GoogLeNet": Network("googlenet()", depth=1),
    "ResNet-18": Network("resnet18()", depth=2),
    "ResNet-50": Network("resnet50()", depth=2),
}


def network_explorer(**initial: Any) -> Explorer:
    """A network as a table: units, weights, connections, multiply-adds and receptive field of each layer.

    `initial` sets any of network, input_size (that of the network's paper if not given), rows ("blocks" or
    "layers"), scale ("log" or "linear") and layer (the selected row). `state["code"]` is the call of
    `layer_table` that gives these numbers.
    Units, connections and multiply-adds are those of convolutions, pooling and linear layers, as in lecture 12.
    Raises ValueError for a name or value that the controls do not offer.
    """
    from course_utils.explorers.base import Explorer
    from course_utils.explorers.measured import MEASURED

    return Explorer(describe(), MEASURED, initial, prepare=every_key())


def describe(data: Mapping[str, Any] | None = None) -> Description:
    """Controls and drawing function; a setting needs its table."""
    controls = {
        "network": choice("network", tuple(NETWORKS), "AlexNet"),
        # A table of a new size may take 50 ms where none is prepared.
        "input_size": choice_slider("input size", SIZES, 227, at_rest=True),
        "rows": choice("rows", ROWS, "blocks"),
        "scale": choice("bars", ("log", "linear"), "log"),
        "layer": slider("selected row", 0, 0, _MOST_ROWS - 1),
    }
    title = "A network layer by layer: units, weights, connections, multiply-adds, receptive field."
    return Description(title, controls, draw_network, needs=lambda v: [table_key(v)], follow=_follow)


def _follow(
    before: Mapping[str, Any], values: Mapping[str, Any], moved: Sequence[str], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Another network starts at the size that its paper has."""
    alone = "network" in moved and "input_size" not in moved
    return {**values, "input_size": NETWORKS[values["network"]].size if alone else values["input_size"]}


def table_key(values: Mapping[str, Any]) -> str:
    """The key of the table that a setting shows."""
    return f"table/{values['network']}/{values['input_size']}/{values['rows']}"


def every_key() -> Iterator[str]:
    """The keys of all tables that the menus can ask for."""
    for network, size, rows in product(NETWORKS, SIZES, ROWS):
        yield table_key({"network": network, "input_size": size, "rows": rows})


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """What is drawn: rows and what they are called.

    `total` sums the rows that lecture 12 counts; its "params" are all parameters, batch normalisation's too.
    """

    rows: tuple[LayerRow, ...]
    names: tuple[str, ...]
    total: dict[str, int]
    in_shape: tuple[int, ...]


def read_table(values: Mapping[str, Any], data: Mapping[str, Any]) -> Table:
    """The table of a setting; raises ValueError for a size that the network does not take."""
    found, size = data[table_key(values)], values["input_size"]
    if "refused" in found:
        raise ValueError(found["refused"])
    rows = tuple(_read_row(*row) for row in found["rows"])
    shape = (NETWORKS[values["network"]].in_channels, size, size)
    return Table(rows, tuple(found["names"]), found["total"], shape)


def _read_row(name: str, kind: str, in_shape: list, out_shape: list, *numbers: Any) -> LayerRow:
    *numbers, field = numbers
    seen = ReceptiveField(*map(tuple, field)) if field else None
    return LayerRow(name, kind, tuple(in_shape), tuple(out_shape), *numbers, receptive_field=seen)


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


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _TOP, _LINE, _SIZE = 836, 128, 19, 13
_NAME_X, _SHAPE_X, _BARS_X, _COLUMN, _BAR = 10, 296, 306, 101, 38
_FIELD_X, _FIELD_BAR = 712, 66
_SCALES = {"log": "bars grow with the logarithm", "linear": "bars grow in proportion"}
_MEASURES = {"units": svg.SKY, "weights": svg.ORANGE, "connections": svg.PURPLE, "macs": svg.BLUE}


def draw_network(values: Mapping[str, Any], data: Mapping[str, Any]) -> Picture:
    """The picture of one setting; raises ValueError for a size that the network does not take."""
    name, table = values["network"], read_table(values, data)
    selected = min(values["layer"], len(table.rows) - 1)
    bottom = _TOP + len(table.rows) * _LINE
    body = [
        svg.text(_NAME_X, 24, f"{name}, input {spoken.shape(table.in_shape)}", 16, bold=True),
        _summary(table),
        _details(table, selected),
        svg.rect(4, _TOP + selected * _LINE, _WIDTH - 8, _LINE, svg.RAISED, radius=3),
        _heads(),
        _names(table),
        *(_measure(table, m, i, values["scale"]) for i, m in enumerate(_MEASURES)),
        _fields(table),
        _totals(table, bottom + 6, values["scale"]),
    ]
    title = f"{name}: {table.total['params']:,} parameters, {table.total['macs']:,} multiply-adds."
    state = {
        "in_shape": table.in_shape,
        "rows": table.rows,
        "names": table.names,
        "total": table.total,
        "selected": selected,
        "code": f"layer_table({NETWORKS[name].code}, {table.in_shape})",
    }
    picture = svg.document(_WIDTH, bottom + 54, title, *body, smallest=13)
    return Picture(picture, state, limits={"layer": len(table.rows) - 1})


def _summary(table: Table) -> str:
    total = table.total
    norms = total["params"] - total["weights"] - total["biases"]
    note = f" ({norms:,} of them in batch normalisation)" if norms else ""
    return svg.text(_NAME_X, 47, f"{total['params']:,} parameters{note}, {total['macs']:,} multiply-adds", 14)


def _details(table: Table, selected: int) -> str:
    """The selected row in exact numbers, on two lines."""
    row = table.rows[selected]
    within = "with" if row.kind == "block" else "="  # a block's inner layers have units too
    words = (
        f"{table.names[selected]}: {spoken.shape(row.in_shape)} → {spoken.shape(row.out_shape)} {within} "
        f"{row.units:,} units; {row.weights:,} weights + {row.biases:,} biases",
        f"{row.connections:,} connections, {row.macs:,} multiply-adds; {_seen(row)}",
    )
    return "".join(
        svg.text(_NAME_X, 70 + 19 * i, line, _SIZE, bold=not i, width=_WIDTH - 2 * _NAME_X)
        for i, line in enumerate(words)
    )


def _seen(row: LayerRow) -> str:
    field = row.receptive_field
    if field is None:
        return "there is no single receptive field"
    if field.stride == (0, 0):
        return "sees the whole input"
    size = f"{field.size[0]} × {field.size[1]}"
    return f"sees {size} pixels, its neighbour's lie {field.stride[0]} further on"


def _heads() -> str:
    words = [svg.text(_BARS_X + i * _COLUMN, _TOP - 8, m, _SIZE, bold=True) for i, m in enumerate(_MEASURES)]
    return "".join(
        [
            svg.text(_NAME_X, _TOP - 8, "layer", _SIZE, bold=True),
            svg.text(_SHAPE_X, _TOP - 8, "output", _SIZE, "end", bold=True),
            *words,
            svg.text(_FIELD_X, _TOP - 8, "receptive field", _SIZE, bold=True),
            svg.line(4, _TOP - 2, _WIDTH - 4, _TOP - 2),
        ]
    )


def _column(words: Sequence[tuple[float, float, str]], fill: str, anchor: str = "start") -> str:
    """Many short texts; what they share is said once, which halves the bytes."""
    texts = "".join(f'<text x="{svg.num(x)}" y="{svg.num(y)}">{escape(w)}</text>' for x, y, w in words)
    return f'<g fill="{fill}" text-anchor="{anchor}" font-size="{_SIZE}">{texts}</g>' if words else ""


def _y(index: float) -> float:
    return _TOP + index * _LINE + 14


def _names(table: Table) -> str:
    room = _SHAPE_X - _NAME_X - 96
    names = [(_NAME_X + 4, _y(i), svg.ellipsis(n, room, _SIZE)) for i, n in enumerate(table.names)]
    shapes = [(_SHAPE_X, _y(i), spoken.shape(row.out_shape)) for i, row in enumerate(table.rows)]
    return _column(names, svg.TEXT) + _column(shapes, svg.MUTED, "end")


def _measure(table: Table, name: str, index: int, scale: str) -> str:
    """A column of bars with their numbers; nothing where the measure is 0."""
    values = [getattr(row, name) for row in table.rows]
    most = max(values, default=0)
    if not most:
        return ""
    length = (lambda v: log10(1 + v) / log10(1 + most)) if scale == "log" else (lambda v: v / most)
    x = _BARS_X + index * _COLUMN
    bars = [(x, _TOP + i * _LINE + 4, max(length(v) * _BAR, 1), _LINE - 8) for i, v in enumerate(values) if v]
    numbers = [(x + _BAR + 5, _y(i), svg.short(v)) for i, v in enumerate(values) if v]
    return svg.boxes(bars, _MEASURES[name]) + _column(numbers, svg.TEXT)


def _fields(table: Table) -> str:
    """Receptive fields as bars against the input's side, in another colour where they are wider than it."""
    side = table.in_shape[1]
    inside, beyond, numbers = [], [], []
    for i, row in enumerate(table.rows):
        field = row.receptive_field
        if field is None:
            continue
        whole = field.stride[0] == 0
        share = 1 if whole else min(field.size[0] / side, 1)
        bar = (_FIELD_X, _TOP + i * _LINE + 4, max(share * _FIELD_BAR, 1), _LINE - 8)
        (beyond if not whole and field.size[0] > side else inside).append(bar)
        numbers.append((_FIELD_X + _FIELD_BAR + 5, _y(i), "whole" if whole else str(field.size[0])))
    return svg.boxes(inside, svg.GREEN) + svg.boxes(beyond, svg.VERMILION) + _column(numbers, svg.TEXT)


def _totals(table: Table, y: float, scale: str) -> str:
    words = [
        svg.text(_BARS_X + i * _COLUMN + _BAR + 5, y + 14, svg.short(table.total[m]), _SIZE, bold=True)
        for i, m in enumerate(_MEASURES)
    ]
    key = [(svg.GREEN, "field inside the input"), (svg.VERMILION, "field wider than the input")]
    return "".join(
        [
            svg.line(4, y - 4, _WIDTH - 4, y - 4),
            svg.text(_NAME_X + 4, y + 14, "total", _SIZE, bold=True),
            *words,
            svg.text(_NAME_X + 4, y + 38, _SCALES[scale], _SIZE, fill=svg.MUTED),
            svg.legend(_BARS_X + 2 * _COLUMN - 60, y + 38, key, 13),
        ]
    )
