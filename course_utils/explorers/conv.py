"""conv_explorer: one convolution, what it reads, what it makes, and what it costs."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby, product
from math import log10, prod
from typing import Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.sizes import conv_layer, linear_layer
from course_utils.words import memory, plural, shape, short

_LAYER = ("kernel_size", "stride", "padding", "dilation", "groups")
_NAMES = ("size", "in_channels", "out_channels", *_LAYER, "position")
_SETTINGS = {
    "LeNet C1": (32, 1, 6, 5, 1, 0, 1, 1, 0),
    "AlexNet conv1 at 224": (224, 3, 96, 11, 4, 0, 1, 1, 54 * 54 - 1),  # the corner that is lost
    "AlexNet conv1 at 227": (227, 3, 96, 11, 4, 0, 1, 1, 55 * 55 - 1),
    "VGG conv5, 3×3": (14, 512, 512, 3, 1, 1, 1, 1, 0),
    "ResNet stem": (224, 3, 64, 7, 2, 3, 1, 1, 0),
    "dilated 3×3": (28, 64, 64, 3, 1, 2, 2, 1, 200),
    "depthwise 3×3": (14, 192, 192, 3, 1, 1, 1, 192, 0),
}
PRESETS = {name: dict(zip(_NAMES, numbers, strict=True)) for name, numbers in _SETTINGS.items()}
_PANEL, _MAP, _APART = 300, 110, 344  # pixels; the last one between the left edges of input and output
_DRAWN_WHOLE = 48  # a padded input of more pixels than this is shown through a lens, with a map
_MEANINGS = "read by this unit", "a zero of the padding, read", "padding", "never read by any unit"
_ZERO, _PIXEL, _TINT = svg.PURPLE, svg.ORANGE, svg.VERMILION + "73"
_HATCH, _UNREAD = svg.hatch("unread")


def describe(data: Values | None = None) -> Description:
    """One convolution over a square input: which pixels a unit reads, which no unit reads, and the cost.

    `initial` sets any of size, in_channels, out_channels, kernel_size, stride, padding (a number, "same" or
    "valid"), dilation, groups and position (the output unit, counted row by row), or `preset`.
    """
    highest = (256, 512, 512, 11, 8, 0, 6, 512, 28 * 28 - 1)
    ranges = zip(_NAMES, PRESETS["LeNet C1"].values(), highest, strict=True)
    controls = {name: slider(name, value, min(value, 1), most) for name, value, most in ranges}
    controls["padding"] = choice("padding", ("same", "valid", *range(12)), 0, slides=True)
    title = "A convolution: the pixels that each unit reads, the output's size, and the cost."
    return Description(title, controls, draw_conv, presets=PRESETS, play="position")


class Reach(NamedTuple):
    """Along one axis: what each output unit reads. Input pixels are counted from 0, padding lies outside."""

    size: int
    kernel_size: int
    stride: int
    before: int
    after: int
    dilation: int
    outputs: int
    padded: int  # size with the padding before and after
    extent: int  # from the first to the last pixel that a unit reads

    def taps(self, unit: int) -> list[int]:
        return [unit * self.stride - self.before + t * self.dilation for t in range(self.kernel_size)]


@lru_cache(256)
def unread(reach: Reach) -> tuple[int, ...]:
    """The input rows that no unit reads (columns are the same: the input and the kernel are square)."""
    read = {row for unit in range(reach.outputs) for row in reach.taps(unit)}
    return tuple(row for row in range(reach.size) if row not in read)


def read_layer(values: Values) -> tuple[Reach, dict[str, Any]]:
    """What the units of a setting read, and its numbers; raises ValueError where torch would refuse it."""
    size, kernel_size, stride, padding, dilation = (values[n] for n in ("size", *_LAYER[:4]))
    in_shape = (values["in_channels"], size, size)
    layer = conv_layer(in_shape, values["out_channels"], **{name: values[name] for name in _LAYER})
    linear = linear_layer(prod(in_shape), layer.units)
    extent = dilation * (kernel_size - 1) + 1
    ahead = {"valid": 0, "same": (extent - 1) // 2}.get(padding, padding)
    behind = extent // 2 if padding == "same" else ahead  # torch puts the odd one behind
    sizes = layer.out_shape[1], ahead + size + behind, extent
    reach = Reach(size, kernel_size, stride, ahead, behind, dilation, *sizes)
    row, column = divmod(min(values["position"], reach.outputs**2 - 1), reach.outputs)
    activations = 4 * (prod(in_shape) + layer.units)  # float32
    counted = ("weights", "params", "connections", "macs")
    state = {name: getattr(layer, name) for name in ("in_shape", "out_shape", "units", "biases", *counted)}
    state |= {f"linear_{name}": getattr(linear, name) for name in counted}
    state |= {"weight_bytes": 4 * layer.params, "memory_bytes": activations + 4 * layer.params}
    state |= {"linear_memory_bytes": activations + 4 * linear.params, "padding": (ahead, behind)}
    state |= {"unit": (row, column), "rows": reach.taps(row), "columns": reach.taps(column)}
    lost = unread(reach)
    return reach, state | {"unread_rows": lost, "unread_pixels": size**2 - (size - len(lost)) ** 2}


def draw_conv(values: Values, data: Values | None = None) -> Picture:
    """The picture of one setting; raises ValueError where torch would refuse it."""
    reach, state = read_layer(values)
    lens, into, out, (row, column) = _lens(reach, state), state["in_shape"], state["out_shape"], state["unit"]
    code, unread_words = _code(values), _unread_words(reach, state)
    rows, columns = (_span(state[name], reach.dilation) for name in ("rows", "columns"))
    padding = reach.before if reach.before == reach.after else f"{reach.before} and {reach.after}"
    padded = f", padding {padding}" if reach.after else ""
    part = f", {lens.cells} × {lens.cells} pixels of it" if lens.cells < reach.padded else ""
    captions = [_caption(into, f"input {shape(into)}{padded}", part), _caption(out, f"output {shape(out)}")]
    heads = layout.table([captions], "ll", least=(_APART - 10, 220))
    grids = layout.column(heads, _grids(reach, state, lens), gap=12)
    fills = _PIXEL, _ZERO, svg.RAISED, _unread_fill(_PANEL / lens.cells, reach)
    picture = layout.page(
        f"{code}: {shape(into)} to {shape(out)}. {unread_words}",
        layout.over(Block(0, 0, lambda x, y: _HATCH), words(code, size=16, bold=True)),
        layout.row(grids, _costs(state), gap=20, align="l"),
        layout.legend(*zip(fills, _MEANINGS, strict=True)),
        _formula(reach),
        words(f"Unit ({row}, {column}) reads rows {rows}, columns {columns}.", unread_words),
        gap=8,
    )
    return Picture(picture, state, limits={"position": reach.outputs**2 - 1})


def _code(values: Values) -> str:
    usual = {"kernel_size": 0, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    unusual = "".join(f", {k}={values[k]!r}" for k, v in usual.items() if values[k] != v)
    return f"nn.Conv2d({values['in_channels']}, {values['out_channels']}{unusual})"


def _caption(sizes: Sequence[int], named: str, part: str = "") -> Block:
    channels = "1 channel" if sizes[0] == 1 else f"one of {sizes[0]} channels"
    lines = words(named, bold=True, pitch=16), words(channels + part, fill=svg.MUTED, pitch=16)
    return layout.column(*lines, gap=0)


class _Frame(NamedTuple):
    """A window of `cells` × `cells` pixels, `top` and `left` its first row and column, drawn `side` wide at (x, y)."""

    top: int
    left: int
    cells: int
    x: float = 0
    y: float = 0
    side: float = _PANEL

    @property
    def cell(self) -> float:
        return self.side / self.cells

    def box(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[float, ...]:
        """x, y, width and height of these pixels (first, end), cut off at the rim."""
        cell, most = self.side / self.cells, self.cells
        top, bottom = (min(max(row - self.top, 0), most) for row in rows)
        left, right = (min(max(column - self.left, 0), most) for column in columns)
        return self.x + left * cell, self.y + top * cell, (right - left) * cell, (bottom - top) * cell

    def window(self, state: dict[str, Any]) -> tuple[float, ...]:
        """The box that the lit unit reads."""
        return self.box(*((taps[0], taps[-1] + 1) for taps in (state["rows"], state["columns"])))

    def pixels(self, places: Iterable[tuple[int, int]], fill: str) -> str:
        return svg.boxes([self.box((row, row + 1), (column, column + 1)) for row, column in places], fill)

    def grid(self) -> str:
        """The lines between the pixels, where these are wide enough."""
        return svg.grid(self.x, self.y, self.cells, self.side) if self.cell >= 4 else ""

    def behind(self, channels: int) -> str:
        """Rims of further channels behind the one that is drawn."""
        places = [(self.x + 4 * i, self.y - 4 * i) for i in range(min(channels - 1, 2), 0, -1)]
        return "".join(svg.rect(*at, self.side, self.side, svg.SURFACE, stroke=svg.LINE) for at in places)


def _lens(reach: Reach, state: dict[str, Any]) -> _Frame:
    """On the whole padded input, or on what lies around the window of a unit."""
    cells = reach.padded if reach.padded <= _DRAWN_WHOLE else min(reach.padded, max(28, reach.extent + 8))
    starts = (state[name][0] - (cells - reach.extent) // 2 for name in ("rows", "columns"))
    last = reach.size + reach.after - cells
    return _Frame(*(min(max(start, -reach.before), last) for start in starts), cells)


def _runs(rows: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring numbers joined: (3, 4, 5, 9) becomes [(3, 6), (9, 10)]."""
    joined = (list(run) for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]))
    return [(run[0][1], run[-1][1] + 1) for run in joined]


def _unread_fill(cell: float, reach: Reach) -> str:
    """Hatching, or a plain tint where the strips are too thin for it."""
    thinnest = min((end - first for first, end in _runs(unread(reach))), default=1)
    return _UNREAD if thinnest * cell >= 6 else _TINT


def _unread_strips(frame: _Frame, reach: Reach) -> str:
    """The rows and columns that no unit reads; those at the rim at least 4 pixels thick on the screen."""
    corners, whole = [], (0, reach.size)
    for first, end in _runs(unread(reach)):
        if end == reach.size:
            first = min(first, end - round(4 / frame.cell))
        corners += [frame.box((first, end), whole), frame.box(whole, (first, end))]
    return svg.boxes([c for c in corners if c[2] > 0 and c[3] > 0], _unread_fill(frame.cell, reach))


def _grids(reach: Reach, state: dict[str, Any], lens: _Frame) -> Block:
    """Input and output, the window and the unit that reads it tied by threads; of a large input a map with the lens."""
    large, pad = lens.cells < reach.padded, reach.before

    def draw(x: float, y: float) -> str:
        frame = lens._replace(x=x, y=y)
        out = _Frame(0, 0, reach.outputs, x + _APART, y, 150 if large else 200)
        drawn = frame.behind(state["in_shape"][0]) + _input(frame, reach, state) + _output(out, frame, state)
        if large:
            small = _Frame(-pad, -pad, reach.padded, out.x, y + _PANEL - _MAP, _MAP)
            seen = small.box(*((start, start + lens.cells) for start in (lens.top, lens.left)))
            drawn += svg.rect(out.x, small.y - 22, _MAP, 22, svg.BACKGROUND)  # no threads behind words
            drawn += svg.text(out.x, small.y - 8, "the whole input", bold=True) + _input(small, reach, state)
            drawn += svg.rect(*seen, stroke=svg.BLUE, stroke_width=2)
            drawn += svg.rect(x, y, _PANEL, _PANEL, stroke=svg.BLUE, stroke_width=2)
        return drawn

    return Block(_APART + 200, _PANEL, draw)


def _input(frame: _Frame, reach: Reach, state: dict[str, Any]) -> str:
    whole, inside = frame.box((0, reach.size), (0, reach.size)), range(reach.size)
    seen = svg.rect(*frame.window(state), _PIXEL)
    if frame.cell >= 4:  # else it is a map, in which single pixels would not be seen
        taps = {at: at[0] in inside and at[1] in inside for at in product(state["rows"], state["columns"])}
        read, zeros = ([at for at, known in taps.items() if known is sort] for sort in (True, False))
        seen = frame.pixels(read, _PIXEL) + frame.pixels(zeros, _ZERO) + frame.grid()
    return (
        svg.rect(frame.x, frame.y, frame.side, frame.side, svg.RAISED)
        + svg.rect(*whole, svg.SURFACE)
        + _unread_strips(frame, reach)
        + seen
        + svg.rect(*whole, stroke=svg.MUTED, stroke_width=1.5)
        + svg.rect(*frame.window(state), stroke=svg.VERMILION, stroke_width=2)
    )


def _output(out: _Frame, frame: _Frame, state: dict[str, Any]) -> str:
    """The output with the units before the lit one, and two threads that tie this one to its window."""
    (row, column), n = state["unit"], out.cells
    done = [out.box((0, row), (0, n)), out.box((row, row + 1), (0, column))]
    seen = max(out.cell, 4)  # pixels on the screen, however many units there are
    at_x, at_y = (start + min(v * out.cell, out.side - seen) for start, v in ((out.x, column), (out.y, row)))
    x, y, width, height = frame.window(state)
    threads = ([(x + width, y), (at_x, at_y)], [(x + width, y + height), (at_x, at_y + seen)])
    return (
        out.behind(state["out_shape"][0])
        + svg.rect(*out.box((0, n), (0, n)), svg.SURFACE, stroke=svg.MUTED, stroke_width=1.5)
        + svg.boxes(done, svg.SKY, "0.3")
        + out.grid()
        + svg.rect(at_x, at_y, seen, seen, _PIXEL, stroke=svg.VERMILION, stroke_width=1.5)
        + "".join(svg.line(thread, svg.VERMILION, 1, "4 3") for thread in threads)
    )


def _formula(reach: Reach) -> Block:
    n, k, s, before, after, d, outputs, padded, extent = reach
    p, pads = ("2p", f"2·{before}") if before == after else ("p₁ + p₂", f"{before} + {after}")
    figures = f"= ⌊({n} + {pads} − {d}·({k} − 1) − 1) / {s}⌋ + 1 = ⌊{padded - extent} / {s}⌋ + 1"
    first = [words("output", bold=True), f"= ⌊(n + {p} − d·(k − 1) − 1) / s⌋ + 1"]
    return layout.table([first, ["", words(f"{figures} = {outputs}", bold=True)]], "ll", gap=6)


def _span(taps: list[int], dilation: int) -> str:
    said = f"{taps[0]} to {taps[-1]}" if len(taps) > 1 else f"{taps[0]}"
    return said.replace("-", "−") + (f" in steps of {dilation}" if dilation > 1 and len(taps) > 1 else "")


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
    biases, params = plural(state["biases"], "bias", "biases"), memory(state["weight_bytes"])
    legend = layout.legend((svg.BLUE, "convolution"), (svg.MUTED, "fully connected"))
    drawn = [legend, words("bars grow with the logarithm", fill=svg.MUTED)]
    named = {"units": ("units", ""), "weights": ("weights", f"+ {biases}")}
    named |= {"connections": ("connections = macs", ""), "memory_bytes": ("memory", f"of it params {params}")}
    for key, (name, note) in named.items():
        ours, theirs = state[key], state.get(f"linear_{key}", state[key])
        exact, rough = (memory, memory) if name == "memory" else ("{:,}".format, short)
        times = f"{rough(theirs)} = {short(theirs / ours)} ×" if theirs != ours else "the same"
        sides = (ours, svg.BLUE, exact(ours)), (theirs, svg.MUTED, times)
        most = log10(1 + max(ours, theirs))
        bars = [[layout.bar(log10(1 + n) / most, 96, ink, 13), said] for n, ink, said in sides]
        heading = layout.row(words(name, bold=True), words(note, fill=svg.MUTED))
        drawn.append(layout.column(heading, layout.table(bars, "ll", gap=8, pitch=18), gap=2))
    return layout.column(*drawn, gap=5)
