"""inception_explorer: an inception module with and without its reductions, and what each branch costs."""

from typing import Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.sizes import conv_layer
from course_utils.papers import INCEPTION_WIDTHS, InceptionWidths
from course_utils.words import number, percent, short

_SIDES = {"3": 28, "4": 14, "5": 7}  # of the maps in each stage, for 224x224 images
_BEFORE = [192, *(widths.out_channels for widths in INCEPTION_WIDTHS.values())]  # 192 channels from the stem
PRESETS = {
    f"inception ({name})": {"size": _SIDES[name[0]], "in_channels": before, **widths._asdict()}
    for (name, widths), before in zip(INCEPTION_WIDTHS.items(), _BEFORE, strict=False)
}
_COLOURS = {"1×1": svg.SKY, "3×3": svg.ORANGE, "5×5": svg.VERMILION, "pooling": svg.GREEN}
_NAMES = {"naive": "naive", "reduced": "with reduction"}
_STEP, _WIRE, _BAR = (100, 30), 330, 176  # pixels
_COST = (_BAR, "weights", "88.88 M")  # the widest that may stand there


def describe(data: Values | None = None) -> Description:
    """The naive inception module beside the one with dimension reduction: weights and multiply-adds by branch.

    `initial` sets any of size (the side of the maps in pixels), in_channels and the six widths of the paper's table 1
    (one, reduce3, three, reduce5, five, pool), or `preset`, a module of GoogLeNet such as "inception (3a)". Both have
    the same 1x1, 3x3 and 5x5 branches; the naive one hands the pooling's channels on as they are.
    Source: Szegedy et al. 2015, figure 2 and table 1.
    """
    size, in_channels, *widths = PRESETS["inception (3a)"].items()
    controls = {
        "size": slider(*size, 1, 56),
        "in_channels": slider(*in_channels, 8, 1024, 8),
        **{name: slider(name, n, 8, 512 if name in ("one", "three") else 256, 8) for name, n in widths},
    }
    title = "An inception module, naive and with reduction: the weights and multiply-adds of each branch."
    return Description(title, controls, draw_inception, presets=PRESETS)


class Branch(NamedTuple):
    """One path through a module: its steps as (what is computed, channels after it), and its cost."""

    name: str
    steps: list[tuple[str, int]]
    channels: int  # that it hands on
    weights: int
    macs: int


def _branch(name: str, size: int, channels: int, *steps: tuple[str, int]) -> Branch:
    """A branch of steps such as ("1×1", 96); "max 3×3" pools and keeps its channels."""
    weights = macs = 0
    for kind, after in steps:
        if not kind.startswith("max"):
            layer = conv_layer((channels, size, size), after, int(kind[0]), padding="same", bias=False)
            weights, macs = weights + layer.weights, macs + layer.macs
        channels = after
    return Branch(name, list(steps), channels, weights, macs)


def branches(values: Values) -> dict[str, list[Branch]]:
    """The four branches of each module, by "naive" and "reduced"."""
    one, reduce3, three, reduce5, five, pool = (("1×1", values[name]) for name in InceptionWidths._fields)
    three, five, keep = ("3×3", three[1]), ("5×5", five[1]), ("max 3×3", values["in_channels"])
    naive = [one], [three], [five], [keep]
    reduced = [one], [reduce3, three], [reduce5, five], [keep, pool]
    at = values["size"], values["in_channels"]
    return {
        kind: [_branch(name, *at, *path) for name, path in zip(_COLOURS, paths, strict=True)]
        for kind, paths in (("naive", naive), ("reduced", reduced))
    }


def _summary(parts: list[Branch]) -> dict[str, Any]:
    by_branch = {n: {part.name: getattr(part, n) for part in parts} for n in ("weights", "macs", "channels")}
    sums = (sum(each.values()) for each in by_branch.values())
    named = dict(zip(("weights", "macs", "out_channels"), sums, strict=True))
    return named | {f"branch_{name}": each for name, each in by_branch.items()}


def draw_inception(values: Values, data: Values | None = None) -> Picture:
    """The picture of one setting."""
    parts, in_channels, size = branches(values), values["in_channels"], values["size"]
    sums = {kind: _summary(each) for kind, each in parts.items()}
    most = max(part.macs for each in parts.values() for part in each)
    ratio = sums["naive"]["macs"] / sums["reduced"]["macs"]
    said = _sentences(parts, size, in_channels, ratio)
    widths = ", ".join(str(values[name]) for name in InceptionWidths._fields)
    code = f"Inception({in_channels}, ({widths})) on maps of {size} × {size}"
    picture = layout.page(
        f"{code}: {said[0]} {said[-1]}",
        words(code, size=16, bold=True),
        layout.row(*(_panel(kind, each, in_channels, most) for kind, each in parts.items()), gap=28),
        _totals(sums),
        words(*said, pitch=22),
    )
    return Picture(picture, {**sums, "ratio": ratio})


def _panel(kind: str, parts: list[Branch], in_channels: int, most: int) -> Block:
    """A module from its input to the concatenation of its branches, each with its share of the channels."""
    inner = layout.column(*(_branch_block(part, most) for part in parts), gap=6)
    heads = (words(name, fill=svg.MUTED) for name in (f"in: {in_channels}", "weights", "macs"))
    head = _with_out(_cost_row(*heads), words("out", fill=svg.MUTED, align="r"))
    total, shares = sum(part.channels for part in parts), []
    for part in parts:
        said = f"{part.name}: {part.channels} of {total} channels"
        shares.append(layout.box(20, part.channels / total * inner.height, _COLOURS[part.name], title=said))
    inlet = layout.box(12, inner.height, svg.MUTED, title=f"{in_channels} channels in")
    module = layout.row(inlet, inner, layout.space(8), layout.column(*shares, gap=0), gap=0)
    name = words(f"{_NAMES[kind]}, {total} channels out", bold=True)
    return layout.column(name, layout.shift(head, 12), module)


def _with_out(block: Block, out: Block) -> Block:
    return layout.table([[block, out]], "lr", least=(_WIRE, "1,024"))


def _branch_block(part: Branch, most: int) -> Block:
    """One branch: its steps as boxes on a wire, under them its cost."""
    colour, steps = _COLOURS[part.name], []
    for kind, channels in part.steps:
        steps.append(layout.chip(kind if kind.startswith("max") else f"{kind}, {channels}", _STEP, colour))
    if len(steps) == 1:  # above the one that it has in common with the other module
        steps.insert(part.name == "pooling", layout.space(*_STEP))
    wire = Block(_WIRE, _STEP[1], lambda x, y: svg.line([(x, y + 15), (x + _WIRE, y + 15)], svg.MUTED, 1.5))
    cost = f"{part.name}: {part.weights:,} weights, {part.macs:,} multiply-adds"
    costs = (short(n) if n else "none" for n in (part.weights, part.macs))
    bar = layout.bar(part.macs / most, _BAR, colour, title=cost)
    path = layout.over(wire, layout.shift(layout.row(*steps), 60))
    return layout.column(_with_out(path, words(part.channels, bold=True, align="r")), _cost_row(bar, *costs))


def _cost_row(*cells: Block | str) -> Block:
    return layout.shift(layout.table([cells], "lrr", least=_COST), 12)


def _totals(sums: dict[str, dict[str, Any]]) -> Block:
    """Both modules' weights as bars on one scale; multiply-adds stand in the same proportion."""
    most, rows = max(each["weights"] for each in sums.values()), []
    for (kind, each), colour in zip(sums.items(), (svg.MUTED, svg.BLUE), strict=True):
        said = f"{each['weights']:,} weights, {each['macs']:,} multiply-adds"
        bar = layout.bar(each["weights"] / most, 300, colour, 15, title=said)
        rows.append([words(_NAMES[kind], bold=True), bar, said])
    return layout.table(rows, "lll", pitch=26)


def _sentences(parts: dict[str, list[Branch]], size: int, in_channels: int, ratio: float) -> list[str]:
    shares = []
    for kind, each in parts.items():
        top = max(each, key=lambda part: part.macs)
        share = percent(top.macs / sum(part.macs for part in each), 0)
        shares.append(f"{_NAMES[kind]} {share} in the {top.name}")
    times = f"{size} × {size} = {size**2:,} positions" if size > 1 else "a single position"
    naive, reduced = (sum(part.channels for part in each) for each in parts.values())
    return [
        f"The naive module costs {number(ratio)} times as much."
        + ("" if ratio >= 1 else " Reductions as wide as these do not pay."),
        f"Where the multiply-adds are: {' branch, '.join(shares)} branch.",
        f"Each weight is used at {times}, so both measures stand in the same proportion everywhere.",
        f"From {in_channels} channels to {naive} (naive, never fewer than came in) or {reduced} (with reduction).",
    ]
