"""conv_explorer: one convolution, what it reads, what it makes, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import log10, prod
from typing import TYPE_CHECKING, Any

from course_utils.explorers import svg_old as svg
from course_utils.explorers.description import Description, Picture, choice_slider, slider
from course_utils.geometry.sizes import LayerSize, conv_layer, linear_layer

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

_DEFAULTS = {
    "size": 32,
    "in_channels": 1,
    "out_channels": 6,
    "kernel_size": 5,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "position": 0,
}
_HIGHEST = {
    "size": 256,
    "in_channels": 512,
    "out_channels": 512,
    "kernel_size": 11,
    "stride": 8,
    "dilation": 6,
    "groups": 512,
}
_PADDINGS = ("same", "valid", *range(12))


def _preset(*numbers: Any, **others: Any) -> dict[str, Any]:
    names = ("size", "in_channels", "out_channels", "kernel_size", "stride", "padding")
    return {"dilation": 1, "groups": 1, **dict(zip(names, numbers, strict=True)), **others}


PRESETS = {
    "LeNet C1": _preset(32, 1, 6, 5, 1, 0, position=0),
    "AlexNet conv1 at 224": _preset(224, 3, 96, 11, 4, 0, position=54 * 54 - 1),  # the corner that is lost
    "AlexNet conv1 at 227": _preset(227, 3, 96, 11, 4, 0, position=55 * 55 - 1),
    "VGG conv5, 3×3": _preset(14, 512, 512, 3, 1, 1, position=0),
    "ResNet stem": _preset(224, 3, 64, 7, 2, 3, position=0),
    "dilated 3×3": _preset(28, 64, 64, 3, 1, 2, dilation=2, position=200),
    "depthwise 3×3": _preset(14, 192, 192, 3, 1, 1, groups=192, position=0),
}


def conv_explorer(**initial: Any) -> Explorer:
    """One convolution over a square input: which pixels a unit reads, which no unit reads, and the cost.

    `initial` sets any of size, in_channels, out_channels, kernel_size, stride, padding (a number, "same" or
    "valid"), dilation, groups and position (the output unit, counted row by row), or `preset`.
    Raises ValueError for a name or value that the controls do not offer.
    """
    from course_utils.explorers.base import Explorer

    return Explorer(describe(), initial=initial)


def describe(data: Mapping[str, Any] | None = None) -> Description:
    """Controls and drawing function; they need no data."""
    controls = {name: slider(name, value, 1, _HIGHEST.get(name, 1)) for name, value in _DEFAULTS.items()}
    controls["padding"] = choice_slider("padding", _PADDINGS, 0)
    controls["position"] = slider("position", 0, 0, 28 * 28 - 1)
    title = "A convolution: the pixels that each unit reads, the output's size, and the cost."
    return Description(title, controls, draw_conv, presets=PRESETS, play="position")


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """Along one axis: what each output unit reads. Input pixels are counted from 0, padding lies outside."""

    size: int
    kernel_size: int
    stride: int
    before: int
    after: int
    dilation: int
    outputs: int

    @property
    def padded(self) -> int:
        return self.before + self.size + self.after

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel_size - 1) + 1

    def start(self, unit: int) -> int:
        return unit * self.stride - self.before

    def taps(self, unit: int) -> list[int]:
        return [self.start(unit) + t * self.dilation for t in range(self.kernel_size)]


@lru_cache(256)
def unread(reach: Reach) -> tuple[int, ...]:
    """The input rows that no unit reads (columns are the same: the input and the kernel are square)."""
    read = {row for unit in range(reach.outputs) for row in reach.taps(unit)}
    return tuple(row for row in range(reach.size) if row not in read)


def _reach(values: dict[str, Any], layer: LayerSize) -> Reach:
    kernel_size, dilation, padding = values["kernel_size"], values["dilation"], values["padding"]
    before = after = 0 if padding == "valid" else padding
    if padding == "same":  # torch puts the odd one behind
        total = dilation * (kernel_size - 1)
        before, after = total // 2, total - total // 2
    return Reach(values["size"], kernel_size, values["stride"], before, after, dilation, layer.out_shape[1])


def numbers(values: dict[str, Any]) -> tuple[Reach, dict[str, Any]]:
    size = values["size"]
    in_shape = (values["in_channels"], size, size)
    settings = {k: values[k] for k in ("kernel_size", "stride", "padding", "dilation", "groups")}
    layer = conv_layer(in_shape, values["out_channels"], **settings)
    reach = _reach(values, layer)
    row, column = divmod(min(values["position"], reach.outputs**2 - 1), reach.outputs)
    linear = linear_layer(prod(in_shape), layer.units)
    activations = 4 * (prod(in_shape) + layer.units)  # float32
    state = {
        "in_shape": in_shape,
        "out_shape": layer.out_shape,
        "units": layer.units,
        "weights": layer.weights,
        "biases": layer.biases,
        "params": layer.params,
        "connections": layer.connections,
        "macs": layer.macs,
        "activation_bytes": activations,
        "weight_bytes": 4 * layer.params,
        "memory_bytes": activations + 4 * layer.params,
        "linear_weights": linear.weights,
        "linear_params": linear.params,
        "linear_connections": linear.connections,
        "linear_macs": linear.macs,
        "linear_memory_bytes": activations + 4 * linear.params,
        "padding": (reach.before, reach.after),
        "unit": (row, column),
        "rows": reach.taps(row),
        "columns": reach.taps(column),
        "unread_rows": unread(reach),
        "unread_pixels": size**2 - (size - len(unread(reach))) ** 2,
    }
    return reach, state


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _TOP, _PANEL = 880, 510, 84, 300
_INPUT_X, _OUTPUT_X, _COST_X = 12, 356, 592
_DRAWN_WHOLE = 48  # a padded input of more pixels than this is shown through a lens, with a map
_ZERO, _PIXEL = svg.YELLOW, svg.ORANGE
_HATCH, _UNREAD = svg.hatch("unread")
_TINT = "rgba(213, 94, 0, 0.45)"  # vermilion


def draw_conv(values: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> Picture:
    """The picture of one setting; raises ValueError where torch would refuse it."""
    reach, state = numbers(values)
    large = reach.padded > _DRAWN_WHOLE
    view = _Lens.around(reach, state["unit"]) if large else _Lens(-reach.before, -reach.before, reach.padded)
    body = [
        _HATCH,
        svg.text(_INPUT_X, 24, _code(values), 15, bold=True),
        _input_panel(reach, state, view, large),
        _output_panel(reach, state, 150 if large else 200),
        _threads(reach, state, view, 150 if large else 200),
        _map(reach, state, view) if large else "",
        _costs(state),
        _legend(reach, state, view),
        _formula(reach),
        _sentences(reach, state),
    ]
    shapes = f"{_shape(state['in_shape'])} to {_shape(state['out_shape'])}"
    title = f"{_code(values)}: {shapes}. {_unread_words(reach, state)}"
    picture = svg.document(_WIDTH, _HEIGHT, title, *body)
    return Picture(picture, state, limits={"position": reach.outputs**2 - 1})


def _code(values: dict[str, Any]) -> str:
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    unusual = "".join(f", {k}={values[k]!r}" for k, v in usual.items() if values[k] != v)
    return (
        f"nn.Conv2d({values['in_channels']}, {values['out_channels']}, "
        f"kernel_size={values['kernel_size']}{unusual})"
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


@dataclass(frozen=True)
class _Lens:
    """A square window of `cells` x `cells` pixels whose first row and column are `top` and `left`."""

    top: int
    left: int
    cells: int

    @classmethod
    def around(cls, reach: Reach, unit: tuple[int, int]) -> _Lens:
        cells = min(reach.padded, max(28, reach.extent + 8))
        highest = reach.size + reach.after - cells
        top, left = (
            min(max(reach.start(u) - (cells - reach.extent) // 2, -reach.before), highest) for u in unit
        )
        return cls(top, left, cells)


@dataclass(frozen=True)
class _Frame:
    """Where a lens is drawn: turns ranges of input pixels into rectangles, cut off at its rim."""

    x: float
    y: float
    side: float
    lens: _Lens

    @property
    def cell(self) -> float:
        return self.side / self.lens.cells

    def box(self, top: int, bottom: int, left: int, right: int) -> tuple[float, float, float, float]:
        """(x, y, width, height) of rows top..bottom and columns left..right, both half open."""
        lens, cell = self.lens, self.cell
        top, bottom = (min(max(v - lens.top, 0), lens.cells) for v in (top, bottom))
        left, right = (min(max(v - lens.left, 0), lens.cells) for v in (left, right))
        return self.x + left * cell, self.y + top * cell, (right - left) * cell, (bottom - top) * cell


def _runs(rows: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring numbers joined: (3, 4, 5, 9) becomes [(3, 6), (9, 10)]."""
    joined = (list(run) for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]))
    return [(run[0][1], run[-1][1] + 1) for run in joined]


def _unread_fill(frame: _Frame, reach: Reach) -> str:
    """Hatching, or a plain tint where the strips are too thin for it."""
    thinnest = min((end - first for first, end in _runs(unread(reach))), default=1)
    return _UNREAD if thinnest * frame.cell >= 6 else _TINT


def _unread_strips(frame: _Frame, reach: Reach, thinnest: float = 0) -> str:
    """The rows and columns that no unit reads; those at the rim at least `thinnest` pixels thick."""
    corners = []
    for first, end in _runs(unread(reach)):
        if thinnest and end == reach.size:
            first = min(first, end - round(thinnest / frame.cell))
        corners += [frame.box(first, end, 0, reach.size), frame.box(0, reach.size, first, end)]
    return svg.boxes([c for c in corners if c[2] > 0 and c[3] > 0], _unread_fill(frame, reach))


def _input_panel(reach: Reach, state: dict[str, Any], lens: _Lens, large: bool) -> str:
    frame = _Frame(_INPUT_X, _TOP, _PANEL, lens)
    taps = [
        (r, c, svg.ORANGE if 0 <= r < reach.size and 0 <= c < reach.size else _ZERO)
        for r in state["rows"]
        for c in state["columns"]
    ]
    window = frame.box(state["rows"][0], state["rows"][-1] + 1, state["columns"][0], state["columns"][-1] + 1)
    return "".join(
        [
            _input_caption(reach, state, lens, large),
            _stack(frame.x, frame.y, _PANEL, state["in_shape"][0]),
            svg.rect(frame.x, frame.y, _PANEL, _PANEL, svg.RAISED),
            svg.rect(*frame.box(0, reach.size, 0, reach.size), svg.SURFACE),
            _unread_strips(frame, reach),
            *(
                svg.boxes([frame.box(r, r + 1, c, c + 1) for r, c, f in taps if f == fill], fill)
                for fill in (_PIXEL, _ZERO)
            ),
            svg.grid(frame.x, frame.y, lens.cells, lens.cells, frame.cell, svg.LINE, 0.6)
            if frame.cell >= 5
            else "",
            svg.rect(*frame.box(0, reach.size, 0, reach.size), stroke=svg.MUTED, stroke_width=1.5),
            svg.rect(*window, stroke=svg.VERMILION, stroke_width=2),
        ]
    )


def _input_caption(reach: Reach, state: dict[str, Any], lens: _Lens, large: bool) -> str:
    padding = reach.before if reach.before == reach.after else f"{reach.before} and {reach.after}"
    words = f"input {_shape(state['in_shape'])}" + (f", padding {padding}" if reach.after else "")
    part = f", {lens.cells} × {lens.cells} pixels of it" if large else ""
    return svg.text(_INPUT_X, _TOP - 28, words, bold=True) + svg.text(
        _INPUT_X, _TOP - 12, _channels(state["in_shape"][0]) + part, fill=svg.MUTED
    )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"one of {count} channels"


def _stack(x: float, y: float, side: float, channels: int) -> str:
    """Rims of further channels behind the one that is drawn."""
    behind = range(min(channels - 1, 2), 0, -1)
    return "".join(svg.rect(x + 4 * i, y - 4 * i, side, side, svg.SURFACE, svg.LINE) for i in behind)


def _output_panel(reach: Reach, state: dict[str, Any], side: float) -> str:
    (row, column), n = state["unit"], reach.outputs
    x, y, cell = _OUTPUT_X, _TOP, side / n
    done = [(x, y, side, row * cell), (x, y + row * cell, column * cell, cell)]
    return "".join(
        [
            svg.text(x, y - 28, f"output {_shape(state['out_shape'])}", bold=True),
            svg.text(x, y - 12, _channels(state["out_shape"][0]), fill=svg.MUTED),
            _stack(x, y, side, state["out_shape"][0]),
            svg.rect(x, y, side, side, svg.SURFACE, svg.MUTED, 1.5),
            f'<g opacity="0.3">{svg.boxes(done, svg.SKY)}</g>',
            svg.grid(x, y, n, n, cell, svg.LINE, 0.6) if cell >= 4 else "",
            svg.rect(*_lit_unit(state, side, n), _PIXEL, svg.VERMILION, 1.5),
        ]
    )


def _lit_unit(state: dict[str, Any], side: float, n: int) -> tuple[float, float, float, float]:
    """The lit unit's box, at least 4 pixels wide however many units there are."""
    row, column = state["unit"]
    cell, seen = side / n, max(side / n, 4)
    x, y = (min(v * cell, side - seen) for v in (column, row))
    return _OUTPUT_X + x, _TOP + y, seen, seen


def _threads(reach: Reach, state: dict[str, Any], lens: _Lens, side: float) -> str:
    """Two lines that tie the unit to the window that it reads."""
    rows, columns = state["rows"], state["columns"]
    frame = _Frame(_INPUT_X, _TOP, _PANEL, lens)
    x, y, width, height = frame.box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    to_x, to_y, _, unit = _lit_unit(state, side, reach.outputs)
    ends = [(y, to_y), (y + height, to_y + unit)]
    return "".join(svg.line(x + width, a, to_x, b, svg.VERMILION, 1, "4 3") for a, b in ends)


def _map(reach: Reach, state: dict[str, Any], lens: _Lens) -> str:
    """The whole padded input, small, with the lens and the window in it."""
    side = 110
    y = _TOP + _PANEL - side
    frame = _Frame(_OUTPUT_X, y, side, _Lens(-reach.before, -reach.before, reach.padded))
    rows, columns = state["rows"], state["columns"]
    seen = frame.box(lens.top, lens.top + lens.cells, lens.left, lens.left + lens.cells)
    return "".join(
        [
            svg.rect(_OUTPUT_X, y - 22, side, 22, svg.BACKGROUND),  # keeps the threads out of the words
            svg.text(_OUTPUT_X, y - 8, "the whole input", bold=True),
            svg.rect(_OUTPUT_X, y, side, side, svg.RAISED, svg.LINE),
            svg.rect(*frame.box(0, reach.size, 0, reach.size), svg.SURFACE, svg.MUTED),
            _unread_strips(frame, reach, thinnest=4),
            svg.rect(*frame.box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1), _PIXEL),
            svg.rect(*seen, stroke=svg.BLUE, stroke_width=2),
            svg.rect(_INPUT_X, _TOP, _PANEL, _PANEL, stroke=svg.BLUE, stroke_width=2),
        ]
    )


def _legend(reach: Reach, state: dict[str, Any], lens: _Lens) -> str:
    frame = _Frame(_INPUT_X, _TOP, _PANEL, lens)
    zeros = any(not 0 <= v < reach.size for v in (*state["rows"], *state["columns"]))
    entries = [(_PIXEL, "read by this unit")]
    entries += [(_ZERO, "a zero of the padding, read")] if zeros else []
    entries += [(svg.RAISED, "padding")] if reach.after else []
    entries += [(_unread_fill(frame, reach), "never read by any unit")] if state["unread_pixels"] else []
    return svg.legend(_INPUT_X, _TOP + _PANEL + 24, entries)


# --- the words ----------------------------------------------------------------------------------------


def _formula(reach: Reach) -> str:
    even = reach.before == reach.after
    p = f"2·{reach.before}" if even else f"{reach.before} + {reach.after}"
    letters = f"⌊(n + {'2p' if even else 'p₁ + p₂'} − d·(k − 1) − 1) / s⌋ + 1"
    figures = f"⌊({reach.size} + {p} − {reach.dilation}·({reach.kernel_size} − 1) − 1) / {reach.stride}⌋ + 1"
    steps = f"⌊{reach.padded - reach.extent} / {reach.stride}⌋ + 1 = {reach.outputs}"
    x, y = _INPUT_X + svg.text_width("output ", 14, bold=True), _TOP + _PANEL + 52
    return "".join(
        [
            svg.text(_INPUT_X, y, "output", 14, bold=True),
            svg.text(x, y, f"= {letters}", 14),
            svg.text(x, y + 22, f"= {figures} = {steps}", 14, bold=True),
        ]
    )


def _sentences(reach: Reach, state: dict[str, Any]) -> str:
    y = _TOP + _PANEL + 98
    return svg.text(_INPUT_X, y, _unit_words(reach, state)) + svg.text(
        _INPUT_X,
        y + 19,
        _unread_words(reach, state),
    )


def _span(taps: list[int], dilation: int) -> str:
    words = f"{taps[0]} to {taps[-1]}" if len(taps) > 1 else f"{taps[0]}"
    every = f" in steps of {dilation}" if dilation > 1 and len(taps) > 1 else ""
    return words.replace("-", "−") + every


def _unit_words(reach: Reach, state: dict[str, Any]) -> str:
    row, column = state["unit"]
    return (
        f"Unit ({row}, {column}) reads rows {_span(state['rows'], reach.dilation)}, "
        f"columns {_span(state['columns'], reach.dilation)}."
    )


def _unread_words(reach: Reach, state: dict[str, Any]) -> str:
    lost = len(state["unread_rows"])
    if not lost:
        return "Every pixel is read."
    pixels = f"{state['unread_pixels']:,} of {reach.size**2:,} pixels are never read"
    room = reach.padded - reach.extent
    only_remainder = (
        lost == room % reach.stride - reach.after and state["unread_rows"][0] == reach.size - lost
    )
    if not only_remainder:
        return f"{pixels}: the kernel steps over them."
    which = "the last row and column" if lost == 1 else f"the last {lost} rows and columns"
    return f"{pixels}: {which}, because {room} is no multiple of {reach.stride}."


def _costs(state: dict[str, Any]) -> str:
    """Four measures as bars: this convolution above the fully connected layer of the same shapes."""
    measures = [
        ("units", "", state["units"], state["units"]),
        ("weights", f"+ {state['biases']:,} biases", state["weights"], state["linear_weights"]),
        ("connections = macs", "", state["connections"], state["linear_connections"]),
        (
            "memory",
            f"of it params {svg.in_bytes(state['weight_bytes'])}",
            state["memory_bytes"],
            state["linear_memory_bytes"],
        ),
    ]
    drawn = [
        svg.legend(_COST_X, 56, [(svg.BLUE, "convolution"), (svg.MUTED, "fully connected")]),
        svg.text(_COST_X, 74, "bars grow with the logarithm", fill=svg.MUTED),
    ]
    for i, measure in enumerate(measures):
        drawn.append(_cost(84 + i * 76, *measure))
    return "".join(drawn)


def _times(ratio: float) -> str:
    """How many times as much, with three significant digits: 32112.7 -> "32,100 ×"."""
    if ratio >= 1e7:
        return f"{svg.short(ratio)} ×"
    return f"{svg.three_digits(ratio)} ×"


def _cost(y: float, name: str, note: str, ours: int, theirs: int) -> str:
    scale, width = log10(1 + max(ours, theirs)), 96
    exact, rough = (svg.in_bytes, svg.in_bytes) if name == "memory" else ("{:,}".format, svg.short)
    times = f"{rough(theirs)} = {_times(theirs / ours)}" if theirs != ours else "the same"
    after = _COST_X + svg.text_width(name, bold=True) + 8
    return "".join(
        [
            svg.text(_COST_X, y + 18, name, bold=True),
            svg.text(after, y + 18, note, fill=svg.MUTED, width=_WIDTH - after - 4),
            svg.bar(_COST_X, y + 26, width, 13, log10(1 + ours) / scale, svg.BLUE),
            svg.text(_COST_X + width + 8, y + 37, exact(ours)),
            svg.bar(_COST_X, y + 44, width, 13, log10(1 + theirs) / scale, svg.MUTED),
            svg.text(_COST_X + width + 8, y + 55, times),
        ]
    )
