"""network_explorer: a whole network, layer by layer: what it holds, what it costs, what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import product
from math import log10
from typing import Any

import ipywidgets

from course_utils.explorers import svg
from course_utils.explorers._networks import COUNTED, NETWORKS, block_of, blocks, network_table, spoken_names
from course_utils.explorers._stack import (
    KINDS,
    MOST_LAYERS,
    Layer,
    measure,
    parse,
    spoken,
    to_code,
    to_text,
)
from course_utils.explorers.base import Explorer, Picture, choice, choice_slider, prepare_when_idle, slider
from course_utils.geometry import LayerRow

Stack = tuple[Layer, ...]
OWN = "your own stack"
ROWS = ("blocks", "layers")
SIZES = (28, 32, 64, 96, 128, 160, 192, 224, 227, 256, 320, 384, 448, 512)
_LENET = (
    "conv 6 k5, relu, average pool k2 s2, conv 16 k5, relu, average pool k2 s2, "
    "flatten, linear 120, relu, linear 84, relu, linear 10"
)


def _own(stack: str, size: int, channels: int) -> dict[str, Any]:
    return {"network": OWN, "stack": stack, "input_size": size, "input_channels": channels}


PRESETS = {
    "LeNet-5 as a stack": _own(_LENET, 32, 1),
    "one 5×5": _own("conv 16 k5", 32, 16),
    "two 3×3": _own("conv 16 k3, relu, conv 16 k3", 32, 16),
    "dilated 1, 2, 4, 8": _own("conv 16 k3 p1, conv 16 k3 p2 d2, conv 16 k3 p4 d4, conv 16 k3 p8 d8", 64, 3),
    "too many poolings": _own(
        "conv 16 k5, max pool k2 s2, conv 32 k5, max pool k2 s2, conv 64 k5, max pool k2 s2, flatten, linear 10",
        32,
        3,
    ),
}
_HIGHEST = {"out": 1024, "kernel_size": 11, "stride": 8, "padding": 16, "dilation": 16, "groups": 64}
_EDITED = ("kind", *_HIGHEST)  # the controls that show and change the selected layer


def network_explorer(**initial: Any) -> NetworkExplorer:
    """A network as a table: units, weights, connections, multiply-adds and receptive field of each layer.

    Choose a network of the course or "your own stack", which is built layer by layer: the first layer that
    does not fit is marked with the reason. `explorer.code` is the stack as `nn.Sequential`.
    `initial` sets any of network, input_size, rows ("blocks" or "layers"), scale ("log" or "linear"), layer (the
    selected row), for a stack also input_channels and stack ("conv 6 k5, relu, flatten, linear 10"), or `preset`.
    Units, connections and multiply-adds are those of convolutions, pooling and linear layers, as in lecture 12.
    Raises ValueError for a name or value that the controls do not offer.
    """
    return NetworkExplorer().set(**initial) if initial else NetworkExplorer()


class NetworkExplorer(Explorer):
    """The explorer with an editor: `add`, `remove` and `move` change the selected layer of your own stack."""

    def __init__(self) -> None:
        controls = {
            "network": choice("network", (*NETWORKS, OWN), "AlexNet"),
            "input_size": choice_slider("input size", SIZES, 227),
            "rows": choice("rows", ROWS, "blocks"),
            "scale": choice("bars", ("log", "linear"), "log"),
            "layer": slider("selected row", 0, 0, MOST_LAYERS - 1),
            "input_channels": slider("input channels", 1, 1, 64),
            "stack": ipywidgets.Text(value=_LENET, description="stack", continuous_update=False),
            "kind": choice("kind", tuple(KINDS), "conv"),
        }
        # A table of a new size may take 50 ms where none is prepared.
        controls["input_size"].continuous_update = False
        for name, highest in _HIGHEST.items():
            low = 0 if name == "padding" else 1
            controls[name] = slider("outputs" if name == "out" else name, low, low, highest)
        self._shown: dict[str, Any] = {}
        self.code = ""
        self.code_view = ipywidgets.HTML()
        self.buttons = {
            word: ipywidgets.Button(description=word, layout=ipywidgets.Layout(width="auto"))
            for word in ("add below", "remove", "move up", "move down")
        }
        title = "A network layer by layer: units, weights, connections, multiply-adds, receptive field."
        super().__init__(title, controls, draw_network, presets=PRESETS)
        prepare_when_idle(prepared_tables())
        for button, act in zip(
            self.buttons.values(),
            (self.add, self.remove, lambda: self.move(-1), lambda: self.move(1)),
            strict=True,
        ):
            button.on_click(lambda _, act=act: act())
        self._editor = ipywidgets.HBox(list(self.buttons.values()))
        panel, view = self.children
        stack = self.controls["stack"]
        panel.children = [child for child in panel.children if child is not stack]  # it needs a whole line
        self.children = (panel, stack, self._editor, view, self.code_view)
        self._show_editor()

    def set(self, **values: Any) -> NetworkExplorer:
        """As `Explorer.set`; a network without an input_size starts at the size that its paper has."""
        if values.get("network") in NETWORKS:
            values.setdefault("input_size", NETWORKS[values["network"]].size)
        super().set(**values)
        return self

    def add(self, kind: str | None = None) -> NetworkExplorer:
        """Put a new layer below the selected one: another of its kind, or a `kind` of KINDS; select it."""

        def change(layers: Stack, at: int) -> tuple[Stack, int]:
            new = layers[at] if kind is None else Layer.new(kind)
            return (*layers[: at + 1], new, *layers[at + 1 :]), at + 1

        return self._edit(change)

    def remove(self) -> NetworkExplorer:
        """Take the selected layer out; the last one stays."""
        return self._edit(lambda layers, at: (layers[:at] + layers[at + 1 :], min(at, len(layers) - 2)))

    def move(self, steps: int) -> NetworkExplorer:
        """Move the selected layer `steps` down, or up if negative, as far as the stack goes."""

        def change(layers: Stack, at: int) -> tuple[Stack, int]:
            to = min(max(at + steps, 0), len(layers) - 1)
            others = layers[:at] + layers[at + 1 :]
            return (*others[:to], layers[at], *others[to:]), to

        return self._edit(change)

    def _edit(self, change: Callable[[Stack, int], tuple[Stack, int]]) -> NetworkExplorer:
        """Nothing happens where the text is no stack, or would become too short or too long."""
        selected = self._selected()
        if selected:
            layers, at = change(*selected)
            if 1 <= len(layers) <= MOST_LAYERS:
                self.set(network=OWN, stack=to_text(layers), layer=at)
        return self

    def _selected(self) -> tuple[Stack, int] | None:
        """The stack and the number of the selected layer, if the text is a stack."""
        try:
            layers = parse(self.controls["stack"].value)
        except ValueError:
            return None  # the picture says what is wrong with the text
        return layers, min(self.controls["layer"].value, len(layers) - 1)

    def _on_move(self, name: str) -> None:
        if name == "network" and not self._quiet:
            self.set(network=self.controls["network"].value)
        else:
            super()._on_move(name)

    def _redraw(self) -> None:
        with self._without_redraw():
            self._follow_editor()
        super()._redraw()
        with self._without_redraw():
            self._load_editor()  # the picture may have moved the selection into the table
        self.code = self.state.get("code", "")
        self.code_view.value = f'<pre style="line-height:1.35;overflow:auto">{escape(self.code)}</pre>'
        self._show_editor()

    def _follow_editor(self) -> None:
        """Put into the stack what was changed in the controls of the selected layer."""
        changed = {n: self.controls[n].value for n in _EDITED if self._shown.get(n) != self.controls[n].value}
        selected = self._selected()
        if not (changed and selected and self._shown) or self.controls["network"].value != OWN:
            return
        layers, at = selected
        kind = changed.pop("kind", layers[at].kind)
        layer = layers[at] if kind == layers[at].kind else Layer.new(kind)
        layers = (*layers[:at], layer.changed(**changed), *layers[at + 1 :])
        self.controls["stack"].value = to_text(layers)

    def _load_editor(self) -> None:
        """Show the selected layer in its controls."""
        selected = self._selected()
        if selected:
            layers, at = selected
            self.controls["kind"].value = layers[at].kind
            for name in KINDS[layers[at].kind]:
                self.controls[name].max = max(_HIGHEST[name], getattr(layers[at], name))
                self.controls[name].value = getattr(layers[at], name)
        self._shown = self.values

    def _show_editor(self) -> None:
        own = self.controls["network"].value == OWN
        has = KINDS[self.controls["kind"].value]
        for name in ("input_channels", "stack", *_EDITED):
            shown = own and (name not in _EDITED or name == "kind" or name in has)
            self.controls[name].layout.display = "" if shown else "none"
        self.controls["rows"].layout.display = "none" if own else ""
        if hasattr(self, "_editor"):
            self._editor.layout.display = "" if own else "none"


# --- the numbers --------------------------------------------------------------------------------------

_SUMMED = ("units", "weights", "biases", "connections", "macs")


@dataclass(frozen=True)
class Table:
    """What is drawn: rows and what they are called; `waiting` are the layers from one that does not fit on.

    `total` sums the rows that lecture 12 counts; its "params" are all parameters, batch normalisation's too.
    """

    rows: tuple[LayerRow, ...]
    names: tuple[str, ...]
    total: dict[str, int]
    in_shape: tuple[int, ...]
    reason: str = ""
    waiting: tuple[str, ...] = ()
    code: str = ""

    @property
    def length(self) -> int:
        return len(self.rows) + len(self.waiting)


@lru_cache(256)
def famous_table(name: str, size: int, by: str) -> Table:
    """The layers that lecture 12 counts of one of NETWORKS, one by one or summed `by` "blocks".

    Raises ValueError for a size that the network does not take.
    """
    network = NETWORKS[name]
    whole = network_table(name, size)
    counted = whole.only(*COUNTED)
    rows, names = tuple(counted), tuple(spoken_names(counted))
    if by == "blocks":
        runs = blocks(whole, network.depth)
        sums = [_block(run, network.depth) for run in runs if any(row.kind in COUNTED for row in run)]
        rows, names = tuple(sums), tuple(spoken_names(sums))
    total = {n: getattr(counted.total, n) for n in _SUMMED} | {"params": whole.total.params}
    shape = (network.in_channels, size, size)
    return Table(rows, names, total, shape, code=f"layer_table({network.code}, {shape})")


def prepared_tables() -> Iterator[None]:
    """Compute one by one all tables that the menus can ask for, so that none has to be waited for later."""
    for name, size, by in product(NETWORKS, SIZES, ROWS):
        with suppress(ValueError):  # too small for this network: that is kept too
            famous_table(name, size, by)
        yield


def _block(run: Sequence[LayerRow], depth: int) -> LayerRow:
    """One row for a run of layers: the sum of those that count, with the shape and field of the last."""
    counted = [row for row in run if row.kind in COUNTED]
    if len(run) == 1:
        return run[0]
    sums = {n: sum(getattr(row, n) for row in counted) for n in _SUMMED}
    kind = counted[0].kind if len(counted) == 1 else "block"
    return LayerRow(
        block_of(run[0].name, depth),
        kind,
        run[0].in_shape,
        run[-1].out_shape,
        **sums,
        receptive_field=run[-1].receptive_field,
    )


@lru_cache(256)
def stack_table(layers: tuple[Layer, ...], in_shape: tuple[int, int, int]) -> Table:
    """Your own stack on an input of this shape."""
    measured = measure(layers, in_shape)
    names = [f"{number}  {layer}" for number, layer in enumerate(layers)]
    fits = len(measured.rows)
    counted = [row for row in measured.rows if row.kind in COUNTED]
    total = {n: sum(getattr(row, n) for row in counted) for n in _SUMMED}
    total["params"] = sum(row.params for row in measured.rows)
    return Table(
        measured.rows,
        tuple(names[:fits]),
        total,
        in_shape,
        measured.reason,
        tuple(names[fits:]),
        to_code(layers, measured),
    )


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _TOP, _LINE, _SIZE = 836, 128, 19, 13
_NAME_X, _SHAPE_X, _BARS_X, _COLUMN, _BAR = 10, 296, 306, 101, 38
_FIELD_X, _FIELD_BAR = 712, 66
_MEASURES = {"units": svg.SKY, "weights": svg.ORANGE, "connections": svg.PURPLE, "macs": svg.BLUE}


def draw_network(values: dict[str, Any]) -> Picture:
    """The picture of one setting; raises ValueError for a size that the network does not take."""
    name, size = values["network"], values["input_size"]
    if name == OWN:
        shape = (values["input_channels"], size, size)
        table = stack_table(parse(values["stack"]), shape)
    else:
        table = famous_table(name, size, values["rows"])
    selected = min(values["layer"], table.length - 1)
    reason = svg.wrap(table.reason, _WIDTH - _NAME_X - 40, _SIZE)
    bad = len(table.rows) if table.reason else None
    bottom = _TOP + table.length * _LINE + len(reason) * (_LINE - 1)
    body = [
        svg.text(_NAME_X, 24, f"{name}, input {spoken(table.in_shape)}", 16, bold=True),
        _summary(table),
        _details(table, selected),
        _bands(table, selected, len(reason)),
        _heads(values["scale"]),
        _names(table, len(reason)),
        *(_measure(table, m, i, values["scale"]) for i, m in enumerate(_MEASURES)),
        _fields(table),
        *(
            svg.text(_NAME_X + 24, _TOP + bad * _LINE + 13 + (i + 1) * (_LINE - 1), line, _SIZE)
            for i, line in enumerate(reason)
        ),
        _totals(table, bottom + 6),
    ]
    title = f"{name}: {table.total['params']:,} parameters, {table.total['macs']:,} multiply-adds."
    state = {
        "in_shape": table.in_shape,
        "rows": table.rows,
        "names": table.names,
        "total": table.total,
        "selected": selected,
        "bad": bad,
        "reason": table.reason,
        "code": table.code,
    }
    picture = svg.document(_WIDTH, bottom + 54, f"{title} {table.reason}", *body, smallest=13)
    return Picture(picture, state, limits={"layer": table.length - 1})


def _summary(table: Table) -> str:
    total = table.total
    norms = total["params"] - total["weights"] - total["biases"]
    note = f" ({norms:,} of them in batch normalisation)" if norms else ""
    return svg.text(_NAME_X, 47, f"{total['params']:,} parameters{note}, {total['macs']:,} multiply-adds", 14)


def _details(table: Table, selected: int) -> str:
    """The selected row in exact numbers, on two lines."""
    if selected >= len(table.rows):
        first = selected == len(table.rows)
        words = (
            "This layer does not fit." if first else "This layer waits: one above it does not fit.",
            "Change it, or a layer above it.",
        )
    else:
        row = table.rows[selected]
        within = "with" if row.kind == "block" else "="  # a block's inner layers have units too
        words = (
            f"{table.names[selected]}: {spoken(row.in_shape)} → {spoken(row.out_shape)} {within} {row.units:,} units; "
            f"{row.weights:,} weights + {row.biases:,} biases",
            f"{row.connections:,} connections, {row.macs:,} multiply-adds; {_seen(row, table.in_shape)}",
        )
    return "".join(
        svg.text(_NAME_X, 70 + 19 * i, line, _SIZE, bold=not i, width=_WIDTH - 2 * _NAME_X)
        for i, line in enumerate(words)
    )


def _seen(row: LayerRow, in_shape: tuple[int, ...]) -> str:
    field = row.receptive_field
    if field is None:
        return "there is no single receptive field"
    if field.stride == (0, 0):
        return "sees the whole input"
    size = f"{field.size[0]} × {field.size[1]}"
    return f"sees {size} pixels, its neighbour's lie {field.stride[0]} further on"


def _bands(table: Table, selected: int, extra: int) -> str:
    """The selected row's band, and the edge of a layer that does not fit."""
    bad = len(table.rows)
    more = (_LINE - 1) * extra
    y = _TOP + selected * _LINE + (more if table.reason and selected > bad else 0)
    height = _LINE + (more if table.reason and selected == bad else 0)
    drawn = svg.rect(4, y, _WIDTH - 8, height, svg.RAISED, radius=3)
    if table.reason:
        drawn += svg.rect(4, _TOP + bad * _LINE, 5, _LINE + more, svg.VERMILION)
    return drawn


def _heads(scale: str) -> str:
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


def _names(table: Table, extra: int) -> str:
    room = _SHAPE_X - _NAME_X - 96
    fitting = [(_NAME_X + 4, _y(i), svg.ellipsis(n, room, _SIZE)) for i, n in enumerate(table.names)]
    shapes = [(_SHAPE_X, _y(i), spoken(row.out_shape)) for i, row in enumerate(table.rows)]
    first = len(table.rows)
    waiting = [
        (_NAME_X + 4, _y(first + i) + (extra * (_LINE - 1) if i else 0), n)
        for i, n in enumerate(table.waiting)
    ]
    return "".join(
        [
            _column(fitting, svg.TEXT),
            _column(shapes, svg.MUTED, "end"),
            _column(waiting[:1], svg.VERMILION),
            f'<g opacity="0.6">{_column(waiting[1:], svg.MUTED)}</g>',
        ]
    )


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


def _totals(table: Table, y: float) -> str:
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
            svg.legend(_BARS_X + 2 * _COLUMN - 60, y + 38, key, 13),
        ]
    )
