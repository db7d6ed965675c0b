"""inception_explorer: an inception module with and without its reductions, and what each branch costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.sizes import conv_layer
from course_utils.papers import INCEPTION_WIDTHS
from course_utils.words import number, percent, short

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

_SIDES = {"3": 28, "4": 14, "5": 7}  # of the maps in each stage, for 224x224 images
_WIDTHS = ("one", "reduce3", "three", "reduce5", "five", "pool")
_HIGHEST = {"reduce3": 256, "reduce5": 256, "five": 256, "pool": 256}


_CHANNELS = (
    192,
    *(widths.out_channels for widths in INCEPTION_WIDTHS.values()),
)  # into each module; 192 from the stem
PRESETS = {
    f"inception ({name})": {"size": _SIDES[name[0]], "in_channels": channels, **widths._asdict()}
    for (name, widths), channels in zip(INCEPTION_WIDTHS.items(), _CHANNELS, strict=False)
}


def inception_explorer(**initial: Any) -> Explorer:
    """The naive inception module beside the one with dimension reduction: weights and multiply-adds by branch.

    `initial` sets any of size (the side of the maps in pixels), in_channels and the six widths in the order
    of the paper's table 1: one, reduce3, three, reduce5, five, pool; or `preset`, one of the nine modules of
    GoogLeNet such as "inception (3a)". Both modules have the same 1x1, 3x3 and 5x5 branches; the naive one
    hands the pooling's channels on as they are.
    Raises ValueError for a name or value that the controls do not offer.
    Source: Szegedy et al. 2015, figure 2 and table 1.
    """
    from course_utils.explorers.base import Explorer

    return Explorer(describe(), initial=initial)


def describe(data: Values | None = None) -> Description:
    """Controls and drawing function; they need no data."""
    values = PRESETS["inception (3a)"]
    controls = {
        "size": slider("size", values["size"], 1, 56),
        "in_channels": slider("in_channels", values["in_channels"], 8, 1024, 8),
        **{name: slider(name, values[name], 8, _HIGHEST.get(name, 512), 8) for name in _WIDTHS},
    }
    title = "An inception module, naive and with reduction: the weights and multiply-adds of each branch."
    return Description(title, controls, draw_inception, presets=PRESETS)


@dataclass(frozen=True)
class Branch:
    """One path through a module: its steps as (what is computed, channels after it), and its cost."""

    name: str
    steps: tuple[tuple[str, int], ...]
    weights: int
    macs: int

    @property
    def out_channels(self) -> int:
        return self.steps[-1][1]


def _branch(name: str, size: int, in_channels: int, *steps: tuple[str, int]) -> Branch:
    """A branch of steps such as ("1×1", 96); "max 3×3" pools and keeps its channels."""
    weights = macs = 0
    for kind, channels in steps:
        if not kind.startswith("max"):
            layer = conv_layer((in_channels, size, size), channels, int(kind[0]), padding="same", bias=False)
            weights, macs = weights + layer.weights, macs + layer.macs
        in_channels = channels
    return Branch(name, steps, weights, macs)


def branches(values: Values) -> dict[str, tuple[Branch, ...]]:
    """The four branches of each module, by "naive" and "reduced"."""
    size, channels = values["size"], values["in_channels"]
    one, reduce3, three, reduce5, five, pool = (values[name] for name in _WIDTHS)
    pooling = ("max 3×3", channels)
    naive = [("1×1", one)], [("3×3", three)], [("5×5", five)], [pooling]
    reduced = (
        naive[0],
        [("1×1", reduce3), *naive[1]],
        [("1×1", reduce5), *naive[2]],
        [pooling, ("1×1", pool)],
    )
    return {
        kind: tuple(
            _branch(name, size, channels, *steps) for name, steps in zip(_COLOURS, paths, strict=True)
        )
        for kind, paths in (("naive", naive), ("reduced", reduced))
    }


def _summary(parts: tuple[Branch, ...]) -> dict[str, Any]:
    measures = {"weights": "weights", "macs": "macs", "channels": "out_channels"}
    by_branch = {f"branch_{n}": {p.name: getattr(p, of) for p in parts} for n, of in measures.items()}
    return {of: sum(by_branch[f"branch_{n}"].values()) for n, of in measures.items()} | by_branch


_COLOURS = {"1×1": svg.SKY, "3×3": svg.ORANGE, "5×5": svg.VERMILION, "pooling": svg.GREEN}
_NAMES = {"naive": "naive", "reduced": "with reduction"}
_STEP, _WIRE, _BAR = (100, 30), 330, 176  # pixels
_COST = (_BAR, "weights", "88.88 M")  # the widest that may stand there


def draw_inception(values: Values, data: Values | None = None) -> Picture:
    """The picture of one setting."""
    parts = branches(values)
    sums = {kind: _summary(each) for kind, each in parts.items()}
    most = max(part.macs for each in parts.values() for part in each)
    panels = [_panel(kind, each, values["in_channels"], most) for kind, each in parts.items()]
    said = _verdict(sums), _dearest(parts), _sharing(values["size"]), _growth(values["in_channels"], sums)
    widths = ", ".join(str(values[name]) for name in _WIDTHS)
    code = f"Inception({values['in_channels']}, ({widths})) on maps of {values['size']} × {values['size']}"
    heading, panels = words(code, size=16, bold=True), layout.row(*panels, gap=28)
    picture = layout.page(
        f"{code}: {said[0]} {said[-1]}", heading, panels, _totals(sums), words(*said, pitch=22)
    )
    return Picture(picture, {**sums, "ratio": sums["naive"]["macs"] / sums["reduced"]["macs"]})


def _panel(kind: str, parts: tuple[Branch, ...], in_channels: int, most: int) -> Block:
    """A module from its input to the concatenation of its branches."""
    inner = layout.column(*(_branch_block(part, most) for part in parts), gap=6)
    heads = (words(name, fill=svg.MUTED) for name in (f"in: {in_channels}", "weights", "macs"))
    head = _with_out(_cost_row(*heads), words("out", fill=svg.MUTED, align="r"))
    channels_in = layout.box(12, inner.height, svg.MUTED, title=f"{in_channels} channels in")
    return layout.column(
        words(f"{_NAMES[kind]}, {sum(p.out_channels for p in parts)} channels out", bold=True),
        layout.shift(head, 12),
        layout.row(channels_in, inner, layout.space(8), _concatenation(parts, inner.height), gap=0),
    )


def _with_out(block: Block, out: Block) -> Block:
    return layout.table([[block, out]], "lr", least=(_WIRE, "1,024"))


def _branch_block(part: Branch, most: int) -> Block:
    """One branch: its steps as boxes on a wire, under them its cost."""
    colour, pools = _COLOURS[part.name], part.steps[-1][0].startswith("max")
    steps = [
        layout.chip(kind if kind.startswith("max") else f"{kind}, {channels}", _STEP, colour)
        for kind, channels in part.steps
    ]
    if len(steps) == 1:
        steps.insert(pools, layout.space(*_STEP))
    wire = Block(_WIRE, _STEP[1], lambda x, y: svg.line([(x, y + 15), (x + _WIRE, y + 15)], svg.MUTED, 1.5))
    cost = f"{part.name}: {part.weights:,} weights, {part.macs:,} multiply-adds"
    costs = ["none"] * 2 if not part.macs else [short(part.weights), short(part.macs)]
    bar = layout.bar(part.macs / most, _BAR, colour, title=cost)
    path = layout.over(wire, layout.shift(layout.row(*steps), 60))
    out = words(part.out_channels, bold=True, align="r")
    return layout.column(_with_out(path, out), _cost_row(bar, *costs))


def _cost_row(*cells: Block | str) -> Block:
    return layout.shift(layout.table([cells], "lrr", least=_COST), 12)


def _concatenation(parts: tuple[Branch, ...], height: float) -> Block:
    """The module's output as one bar, each branch's share of the channels in its colour."""
    total = sum(part.out_channels for part in parts)
    shares = []
    for part in parts:
        said = f"{part.name}: {part.out_channels} of {total} channels"
        shares.append(layout.box(20, part.out_channels / total * height, _COLOURS[part.name], title=said))
    return layout.column(*shares, gap=0)


def _totals(sums: dict[str, dict[str, Any]]) -> Block:
    """Both modules' weights as bars on one scale; multiply-adds stand in the same proportion."""
    most = max(each["weights"] for each in sums.values())
    rows = []
    for (kind, each), colour in zip(sums.items(), (svg.MUTED, svg.BLUE), strict=True):
        said = f"{each['weights']:,} weights, {each['macs']:,} multiply-adds"
        bar = layout.bar(each["weights"] / most, 300, colour, 15, title=said)
        rows.append([words(_NAMES[kind], bold=True), bar, said])
    return layout.table(rows, "lll", pitch=26)


def _verdict(sums: dict[str, dict[str, Any]]) -> str:
    ratio = sums["naive"]["macs"] / sums["reduced"]["macs"]
    words = f"The naive module costs {number(ratio)} times as much."
    return words if ratio >= 1 else f"{words} Reductions as wide as these do not pay."


def _dearest(parts: dict[str, tuple[Branch, ...]]) -> str:
    shares = []
    for kind, each in parts.items():
        top = max(each, key=lambda part: part.macs)
        share = percent(top.macs / sum(p.macs for p in each), 0)
        shares.append(f"{_NAMES[kind]} {share} in the {top.name}")
    return f"Where the multiply-adds are: {' branch, '.join(shares)} branch."


def _sharing(size: int) -> str:
    times = f"{size} × {size} = {size**2:,} positions" if size > 1 else "a single position"
    return f"Each weight is used at {times}, so both measures stand in the same proportion everywhere."


def _growth(in_channels: int, sums: dict[str, dict[str, Any]]) -> str:
    naive, reduced = (sums[kind]["out_channels"] for kind in _NAMES)
    return f"From {in_channels} channels to {naive} (naive, never fewer than came in) or {reduced} (with reduction)."
