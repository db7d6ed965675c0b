"""conv_explorer: one convolution, what it reads, what it makes, and what it costs."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from math import log10, prod
from typing import Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, opener, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.sizes import LayerSize, conv_layer, linear_layer
from course_utils.words import memory, plural, shape, short

_NAMES = ("size", "in_channels", "out_channels", "kernel_size", "stride", "padding")
_AT_FIRST = {"size": 32, "in_channels": 1, "out_channels": 6, "kernel_size": 5}
_HIGHEST = {"size": 256, "in_channels": 512, "out_channels": 512, "kernel_size": 11, "stride": 8}


def _preset(*numbers: int, **others: int) -> dict[str, int]:
    return {"dilation": 1, "groups": 1, **dict(zip(_NAMES, numbers, strict=True)), **others}


PRESETS = {
    "LeNet C1": _preset(32, 1, 6, 5, 1, 0, position=0),
    "AlexNet conv1 at 224": _preset(224, 3, 96, 11, 4, 0, position=54 * 54 - 1),  # the corner that is lost
    "AlexNet conv1 at 227": _preset(227, 3, 96, 11, 4, 0, position=55 * 55 - 1),
    "VGG conv5, 3×3": _preset(14, 512, 512, 3, 1, 1, position=0),
    "ResNet stem": _preset(224, 3, 64, 7, 2, 3, position=0),
    "dilated 3×3": _preset(28, 64, 64, 3, 1, 2, dilation=2, position=200),
    "depthwise 3×3": _preset(14, 192, 192, 3, 1, 1, groups=192, position=0),
}


def describe(data: Values | None = None) -> Description:
    """One convolution over a square input: which pixels a unit reads, which no unit reads, and the cost.

    `initial` sets any of size, in_channels, out_channels, kernel_size, stride, padding (a number, "same" or
    "valid"), dilation, groups and position (the output unit, counted row by row), or `preset`.
    """
    controls = {name: slider(name, _AT_FIRST.get(name, 1), 1, _HIGHEST.get(name, 1)) for name in _NAMES}
    controls["padding"] = choice("padding", ("same", "valid", *range(12)), 0, slides=True)
    controls["dilation"] = slider("dilation", 1, 1, 6)
    controls["groups"] = slider("groups", 1, 1, 512)
    controls["position"] = slider("position", 0, 0, 28 * 28 - 1)
    title = "A convolution: the pixels that each unit reads, the output's size, and the cost."
    return Description(title, controls, draw_conv, presets=PRESETS, play="position")


conv_explorer = opener(describe)


class Reach(NamedTuple):
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


def _reach(values: Values, layer: LayerSize) -> Reach:
    kernel_size, dilation, padding = values["kernel_size"], values["dilation"], values["padding"]
    before = after = 0 if padding == "valid" else padding
    if padding == "same":  # torch puts the odd one behind
        total = dilation * (kernel_size - 1)
        before, after = total // 2, total - total // 2
    return Reach(values["size"], kernel_size, values["stride"], before, after, dilation, layer.out_shape[1])


def read_layer(values: Values) -> tuple[Reach, dict[str, Any]]:
    """What the units of a setting read, and its numbers; raises ValueError where torch would refuse it."""
    size = values["size"]
    in_shape = (values["in_channels"], size, size)
    settings = {k: values[k] for k in ("kernel_size", "stride", "padding", "dilation", "groups")}
    layer = conv_layer(in_shape, values["out_channels"], **settings)
    linear = linear_layer(prod(in_shape), layer.units)
    reach = _reach(values, layer)
    row, column = divmod(min(values["position"], reach.outputs**2 - 1), reach.outputs)
    activations = 4 * (prod(in_shape) + layer.units)  # float32
    counted = ("weights", "params", "connections", "macs")
    state = {name: getattr(layer, name) for name in ("in_shape", "out_shape", "units", "biases", *counted)}
    state |= {f"linear_{name}": getattr(linear, name) for name in counted}
    return reach, state | {
        "weight_bytes": 4 * layer.params,
        "memory_bytes": activations + 4 * layer.params,
        "linear_memory_bytes": activations + 4 * linear.params,
        "padding": (reach.before, reach.after),
        "unit": (row, column),
        "rows": reach.taps(row),
        "columns": reach.taps(column),
        "unread_rows": unread(reach),
        "unread_pixels": size**2 - (size - len(unread(reach))) ** 2,
    }


_PANEL, _MAP, _APART = 300, 110, 344  # pixels; the last one between the left edges of input and output
_DRAWN_WHOLE = 48  # a padded input of more pixels than this is shown through a lens, with a map
_ZERO, _PIXEL, _TINT = svg.PURPLE, svg.ORANGE, svg.VERMILION + "73"
_HATCH, _UNREAD = svg.hatch("unread")


def draw_conv(values: Values, data: Values | None = None) -> Picture:
    """The picture of one setting; raises ValueError where torch would refuse it."""
    reach, state = read_layer(values)
    lens = _lens(reach, state["unit"])
    code, unread_words = _code(values), _unread_words(reach, state)
    captions = layout.table([_captions(reach, state, lens)], "ll", least=(_APART - 10, 220))
    grids = layout.column(captions, _grids(reach, state, lens), gap=12)
    picture = layout.page(
        f"{code}: {shape(state['in_shape'])} to {shape(state['out_shape'])}. {unread_words}",
        layout.over(Block(0, 0, lambda x, y: _HATCH), words(code, size=16, bold=True)),
        layout.row(grids, _costs(state), gap=20, align="l"),
        layout.legend(
            (_PIXEL, "read by this unit"),
            (_ZERO, "a zero of the padding, read"),
            (svg.RAISED, "padding"),
            (_unread_fill(_PANEL / lens.cells, reach), "never read by any unit"),
        ),
        _formula(reach),
        words(_unit_words(reach, state), unread_words),
        gap=8,
    )
    return Picture(picture, state, limits={"position": reach.outputs**2 - 1})


def _code(values: Values) -> str:
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    unusual = "".join(f", {k}={values[k]!r}" for k, v in usual.items() if values[k] != v)
    channels = f"{values['in_channels']}, {values['out_channels']}"
    return f"nn.Conv2d({channels}, kernel_size={values['kernel_size']}{unusual})"


def _captions(reach: Reach, state: dict[str, Any], lens: _Lens) -> list[Block]:
    padding = reach.before if reach.before == reach.after else f"{reach.before} and {reach.after}"
    padded = f", padding {padding}" if reach.after else ""
    part = f", {lens.cells} × {lens.cells} pixels of it" if lens.cells < reach.padded else ""
    captions = []
    for name, sizes, more, rest in (
        ("input", state["in_shape"], padded, part),
        ("output", state["out_shape"], "", ""),
    ):
        channels = "1 channel" if sizes[0] == 1 else f"one of {sizes[0]} channels"
        said = words(f"{name} {shape(sizes)}{more}", bold=True, pitch=16)
        captions.append(layout.column(said, words(channels + rest, fill=svg.MUTED, pitch=16), gap=0))
    return captions


class _Lens(NamedTuple):
    """A square window of `cells` x `cells` pixels whose first row and column are `top` and `left`."""

    top: int
    left: int
    cells: int


def _lens(reach: Reach, unit: tuple[int, int]) -> _Lens:
    """On the whole padded input, or on what lies around the window of a unit."""
    cells = reach.padded if reach.padded <= _DRAWN_WHOLE else min(reach.padded, max(28, reach.extent + 8))
    starts = (reach.start(u) - (cells - reach.extent) // 2 for u in unit)
    return _Lens(
        *(min(max(start, -reach.before), reach.size + reach.after - cells) for start in starts), cells
    )


class _Frame(NamedTuple):
    """Where a lens is drawn: turns ranges of pixels into rectangles, cut off at its rim."""

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

    def window(self, state: dict[str, Any]) -> tuple[float, float, float, float]:
        """The box that the lit unit reads."""
        rows, columns = state["rows"], state["columns"]
        return self.box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)

    def unit(self, row: int, column: int) -> tuple[float, float, float, float]:
        """The box of one pixel, at least 4 pixels wide on the screen however many there are."""
        seen = max(self.cell, 4)
        x, y = (min(v * self.cell, self.side - seen) for v in (column, row))
        return self.x + x, self.y + y, seen, seen

    def grid(self, least: float) -> str:
        """The lines between the pixels, where these are at least so wide."""
        return svg.grid(self.x, self.y, self.lens.cells, self.side) if self.cell >= least else ""

    def behind(self, channels: int) -> str:
        """Rims of further channels behind the one that is drawn."""
        return "".join(
            svg.rect(self.x + 4 * i, self.y - 4 * i, self.side, self.side, svg.SURFACE, stroke=svg.LINE)
            for i in range(min(channels - 1, 2), 0, -1)
        )


def _runs(rows: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring numbers joined: (3, 4, 5, 9) becomes [(3, 6), (9, 10)]."""
    joined = (list(run) for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]))
    return [(run[0][1], run[-1][1] + 1) for run in joined]


def _unread_fill(cell: float, reach: Reach) -> str:
    """Hatching, or a plain tint where the strips are too thin for it."""
    thinnest = min((end - first for first, end in _runs(unread(reach))), default=1)
    return _UNREAD if thinnest * cell >= 6 else _TINT


def _unread_strips(frame: _Frame, reach: Reach, thinnest: float = 0) -> str:
    """The rows and columns that no unit reads; those at the rim at least `thinnest` pixels thick."""
    corners = []
    for first, end in _runs(unread(reach)):
        if thinnest and end == reach.size:
            first = min(first, end - round(thinnest / frame.cell))
        corners += [frame.box(first, end, 0, reach.size), frame.box(0, reach.size, first, end)]
    return svg.boxes([c for c in corners if c[2] > 0 and c[3] > 0], _unread_fill(frame.cell, reach))


def _grids(reach: Reach, state: dict[str, Any], lens: _Lens) -> Block:
    """Input and output, the window and the unit that reads it tied by threads, and a map of a large input."""
    whole, large = _Lens(-reach.before, -reach.before, reach.padded), lens.cells < reach.padded

    def draw(x: float, y: float) -> str:
        frame, out = (
            _Frame(x, y, _PANEL, lens),
            _Frame(x + _APART, y, 150 if large else 200, _Lens(0, 0, reach.outputs)),
        )
        drawn = _input(frame, reach, state) + _output(out, state)
        drawn += _threads(frame.window(state), out.unit(*state["unit"]))
        if not large:
            return drawn
        small = _Frame(x + _APART, y + _PANEL - _MAP, _MAP, whole)
        edge = svg.rect(x, y, _PANEL, _PANEL, stroke=svg.BLUE, stroke_width=2)
        return drawn + _map(small, reach, state, lens) + edge

    return Block(_APART + 200, _PANEL, draw)


def _input(frame: _Frame, reach: Reach, state: dict[str, Any]) -> str:
    whole = 0, reach.size, 0, reach.size
    taps = [(r, c) for r in state["rows"] for c in state["columns"]]
    pixels = [(r, c) for r, c in taps if 0 <= r < reach.size and 0 <= c < reach.size]
    zeros = set(taps) - set(pixels)
    return "".join(
        [
            frame.behind(state["in_shape"][0]),
            svg.rect(frame.x, frame.y, _PANEL, _PANEL, svg.RAISED),
            svg.rect(*frame.box(*whole), svg.SURFACE),
            _unread_strips(frame, reach),
            svg.boxes([frame.box(r, r + 1, c, c + 1) for r, c in pixels], _PIXEL),
            svg.boxes([frame.box(r, r + 1, c, c + 1) for r, c in sorted(zeros)], _ZERO),
            frame.grid(5),
            svg.rect(*frame.box(*whole), stroke=svg.MUTED, stroke_width=1.5),
            svg.rect(*frame.window(state), stroke=svg.VERMILION, stroke_width=2),
        ]
    )


def _output(frame: _Frame, state: dict[str, Any]) -> str:
    (row, column), n = state["unit"], frame.lens.cells
    done = [frame.box(0, row, 0, n), frame.box(row, row + 1, 0, column)]
    return "".join(
        [
            frame.behind(state["out_shape"][0]),
            svg.rect(*frame.box(0, n, 0, n), svg.SURFACE, stroke=svg.MUTED, stroke_width=1.5),
            svg.boxes(done, svg.SKY, "0.3"),
            frame.grid(4),
            svg.rect(*frame.unit(row, column), _PIXEL, stroke=svg.VERMILION, stroke_width=1.5),
        ]
    )


def _threads(window: tuple[float, ...], unit: tuple[float, ...]) -> str:
    """Two lines that tie the unit to the window that it reads."""
    (x, y, width, height), (to_x, to_y, _, side) = window, unit
    ends = [(y, to_y), (y + height, to_y + side)]
    return "".join(svg.line([(x + width, a), (to_x, b)], svg.VERMILION, 1, "4 3") for a, b in ends)


def _map(frame: _Frame, reach: Reach, state: dict[str, Any], lens: _Lens) -> str:
    """The whole padded input, small, with the lens and the window in it."""
    whole = 0, reach.size, 0, reach.size
    seen = frame.box(lens.top, lens.top + lens.cells, lens.left, lens.left + lens.cells)
    return "".join(
        [
            svg.rect(frame.x, frame.y - 22, _MAP, 22, svg.BACKGROUND),  # keeps the threads out of the words
            svg.text(frame.x, frame.y - 8, "the whole input", bold=True),
            svg.rect(frame.x, frame.y, _MAP, _MAP, svg.RAISED, stroke=svg.LINE),
            svg.rect(*frame.box(*whole), svg.SURFACE, stroke=svg.MUTED),
            _unread_strips(frame, reach, thinnest=4),
            svg.rect(*frame.window(state), _PIXEL),
            svg.rect(*seen, stroke=svg.BLUE, stroke_width=2),
        ]
    )


def _formula(reach: Reach) -> Block:
    even = reach.before == reach.after
    p = f"2·{reach.before}" if even else f"{reach.before} + {reach.after}"
    letters = f"⌊(n + {'2p' if even else 'p₁ + p₂'} − d·(k − 1) − 1) / s⌋ + 1"
    figures = f"⌊({reach.size} + {p} − {reach.dilation}·({reach.kernel_size} − 1) − 1) / {reach.stride}⌋ + 1"
    steps = f"⌊{reach.padded - reach.extent} / {reach.stride}⌋ + 1 = {reach.outputs}"
    rows = [[words("output", bold=True), f"= {letters}"], ["", words(f"= {figures} = {steps}", bold=True)]]
    return layout.table(rows, "ll", gap=6)


def _span(taps: list[int], dilation: int) -> str:
    words = f"{taps[0]} to {taps[-1]}" if len(taps) > 1 else f"{taps[0]}"
    every = f" in steps of {dilation}" if dilation > 1 and len(taps) > 1 else ""
    return words.replace("-", "−") + every


def _unit_words(reach: Reach, state: dict[str, Any]) -> str:
    rows, columns = (_span(state[name], reach.dilation) for name in ("rows", "columns"))
    return f"Unit ({state['unit'][0]}, {state['unit'][1]}) reads rows {rows}, columns {columns}."


def _unread_words(reach: Reach, state: dict[str, Any]) -> str:
    lost = len(state["unread_rows"])
    if not lost:
        return "Every pixel is read."
    pixels = f"{state['unread_pixels']:,} of {reach.size**2:,} pixels are never read"
    room = reach.padded - reach.extent
    if lost != room % reach.stride - reach.after or state["unread_rows"][0] != reach.size - lost:
        return f"{pixels}: the kernel steps over them."
    which = "the last row and column" if lost == 1 else f"the last {lost} rows and columns"
    return f"{pixels}: {which}, because {room} is no multiple of {reach.stride}."


def _costs(state: dict[str, Any]) -> Block:
    """Four measures as bars: this convolution above the fully connected layer of the same shapes."""

    def both(name: str) -> tuple[int, int]:
        return state[name], state[f"linear_{name}"]

    return layout.column(
        layout.legend((svg.BLUE, "convolution"), (svg.MUTED, "fully connected")),
        words("bars grow with the logarithm", fill=svg.MUTED),
        _cost("units", "", *[state["units"]] * 2),
        _cost("weights", f"+ {plural(state['biases'], 'bias', 'biases')}", *both("weights")),
        _cost("connections = macs", "", *both("connections")),
        _cost("memory", f"of it params {memory(state['weight_bytes'])}", *both("memory_bytes")),
        gap=5,
    )


def _cost(name: str, note: str, ours: int, theirs: int) -> Block:
    exact, rough = (memory, memory) if name == "memory" else ("{:,}".format, short)
    times = f"{rough(theirs)} = {short(theirs / ours)} ×" if theirs != ours else "the same"
    bars = [
        [layout.bar(log10(1 + n) / log10(1 + max(ours, theirs)), 96, fill, 13), said]
        for n, fill, said in ((ours, svg.BLUE, exact(ours)), (theirs, svg.MUTED, times))
    ]
    heading = layout.row(words(name, bold=True), words(note, fill=svg.MUTED))
    return layout.column(heading, layout.table(bars, "ll", gap=8, pitch=18), gap=2)
