"""inception_explorer: an inception module with and without its reductions, and what each branch costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from course_utils.explorers import svg
from course_utils.explorers.description import Description, Picture, slider
from course_utils.geometry.sizes import conv_layer
from course_utils.papers import INCEPTION_WIDTHS

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

_SIDES = {"3": 28, "4": 14, "5": 7}  # of the maps in each stage, for 224x224 images
_WIDTHS = ("one", "reduce3", "three", "reduce5", "five", "pool")
_HIGHEST = {"reduce3": 256, "reduce5": 256, "five": 256, "pool": 256}


def _presets() -> dict[str, dict[str, int]]:
    found, in_channels = {}, 192  # of the stem's last layer
    for name, widths in INCEPTION_WIDTHS.items():
        found[f"inception ({name})"] = {
            "size": _SIDES[name[0]],
            "in_channels": in_channels,
            **widths._asdict(),
        }
        in_channels = widths.out_channels
    return found


PRESETS = _presets()


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


def describe(data: Mapping[str, Any] | None = None) -> Description:
    """Controls and drawing function; they need no data."""
    values = PRESETS["inception (3a)"]
    controls = {
        "size": slider("size", values["size"], 1, 56),
        "in_channels": slider("in_channels", values["in_channels"], 8, 1024, 8),
        **{name: slider(name, values[name], 8, _HIGHEST.get(name, 512), 8) for name in _WIDTHS},
    }
    title = "An inception module, naive and with reduction: the weights and multiply-adds of each branch."
    return Description(title, controls, draw_inception, presets=PRESETS)


# --- the numbers --------------------------------------------------------------------------------------


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


def branches(values: dict[str, int]) -> dict[str, tuple[Branch, ...]]:
    """The four branches of each module, by "naive" and "reduced"."""
    size, channels = values["size"], values["in_channels"]
    one, reduce3, three, reduce5, five, pool = (values[name] for name in _WIDTHS)
    pooling = ("max 3×3", channels)
    paths = {
        "naive": ([("1×1", one)], [("3×3", three)], [("5×5", five)], [pooling]),
        "reduced": (
            [("1×1", one)],
            [("1×1", reduce3), ("3×3", three)],
            [("1×1", reduce5), ("5×5", five)],
            [pooling, ("1×1", pool)],
        ),
    }
    names = ("1×1", "3×3", "5×5", "pooling")
    return {
        kind: tuple(_branch(name, size, channels, *steps) for name, steps in zip(names, each, strict=True))
        for kind, each in paths.items()
    }


def _summary(parts: tuple[Branch, ...]) -> dict[str, Any]:
    return {
        "weights": sum(part.weights for part in parts),
        "macs": sum(part.macs for part in parts),
        "out_channels": sum(part.out_channels for part in parts),
        "branch_weights": {part.name: part.weights for part in parts},
        "branch_macs": {part.name: part.macs for part in parts},
        "branch_channels": {part.name: part.out_channels for part in parts},
    }


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _LEFT, _PANEL, _GAP = 880, 8, 420, 28
_TOP, _ROW, _BOX = 92, 72, 30
_HEIGHT = _TOP + 4 * _ROW + 176
_JOIN = 396  # where the panel's concatenation stands
_COLOURS = {"1×1": svg.SKY, "3×3": svg.ORANGE, "5×5": svg.VERMILION, "pooling": svg.GREEN}
_NAMES = {"naive": "naive", "reduced": "with reduction"}


def draw_inception(values: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> Picture:
    """The picture of one setting."""
    parts = branches(values)
    sums = {kind: _summary(each) for kind, each in parts.items()}
    most = max(part.macs for each in parts.values() for part in each)
    body = [svg.text(_LEFT, 20, _code(values), 15, bold=True)]
    for i, kind in enumerate(parts):
        body.append(_panel(_LEFT + i * (_PANEL + _GAP), kind, parts[kind], values["in_channels"], most))
    body += [_totals(sums), _sentences(values, parts, sums)]
    state = {**sums, "ratio": sums["naive"]["macs"] / sums["reduced"]["macs"]}
    title = f"{_code(values)}: {_verdict(sums)} {_growth(values, sums)}"
    return Picture(svg.document(_WIDTH, _HEIGHT, title, *body), state)


def _code(values: dict[str, int]) -> str:
    widths = ", ".join(str(values[name]) for name in _WIDTHS)
    size = values["size"]
    return f"Inception({values['in_channels']}, ({widths})) on maps of {size} × {size}"


def _panel(x: float, kind: str, parts: tuple[Branch, ...], in_channels: int, most: int) -> str:
    height = 3 * _ROW + _BOX
    return "".join(
        [
            svg.text(x, 46, f"{_NAMES[kind]}, {sum(p.out_channels for p in parts)} channels out", bold=True),
            svg.text(x, 64, f"in: {in_channels}", fill=svg.MUTED),
            svg.text(x + 288, 64, "weights", anchor="end", fill=svg.MUTED),
            svg.text(x + 378, 64, "macs", anchor="end", fill=svg.MUTED),
            svg.text(x + _JOIN + 20, 64, "out", anchor="end", fill=svg.MUTED),
            svg.rect(x, _TOP - 14, 12, height + 28, svg.MUTED, title=f"{in_channels} channels in"),
            *(_row(x, _TOP + i * _ROW, part, most) for i, part in enumerate(parts)),
            _concatenation(x, _TOP - 14, height + 28, parts),
        ]
    )


def _row(x: float, y: float, part: Branch, most: int) -> str:
    """One branch: its steps as boxes, under them its cost."""
    places = (108, 218) if len(part.steps) == 2 else (218,)
    places = (108,) if part.steps[-1][0].startswith("max") else places
    middle, colour = y + _BOX / 2, _COLOURS[part.name]
    line = svg.line(x + 12, middle, x + _JOIN - 48, middle, svg.MUTED, 1.5)  # the boxes lie on it
    boxes = "".join(_step(x + p, y, step, colour) for p, step in zip(places, part.steps, strict=True))
    cost = f"{part.name}: {part.weights:,} weights, {part.macs:,} multiply-adds"
    free = part.macs == 0
    return "".join(
        [
            line,
            boxes,
            svg.text(x + _JOIN - 8, middle + 5, part.out_channels, anchor="end", bold=True),
            svg.bar(x + 24, y + _BOX + 8, 176, 12, part.macs / most, colour, title=cost),
            svg.text(x + 288, y + _BOX + 19, "none" if free else svg.short(part.weights), anchor="end"),
            svg.text(x + 378, y + _BOX + 19, "none" if free else svg.short(part.macs), anchor="end"),
        ]
    )


def _step(x: float, y: float, step: tuple[str, int], colour: str) -> str:
    kind, channels = step
    words = kind if kind.startswith("max") else f"{kind}, {channels}"
    return svg.rect(x - 50, y, 100, _BOX, svg.SURFACE, colour, 2, radius=4) + svg.text(
        x, y + _BOX / 2 + 5, words, anchor="middle"
    )


def _concatenation(x: float, y: float, height: float, parts: tuple[Branch, ...]) -> str:
    """The module's output as one bar, each branch's share of the channels in its colour."""
    total, drawn = sum(part.out_channels for part in parts), []
    for part in parts:
        share = part.out_channels / total * height
        words = f"{part.name}: {part.out_channels} of {total} channels"
        drawn.append(svg.rect(x + _JOIN, y, 20, share, _COLOURS[part.name], title=words))
        y += share
    return "".join(drawn)


def _totals(sums: dict[str, dict[str, Any]]) -> str:
    """Both modules' weights as bars on one scale; multiply-adds stand in the same proportion."""
    most, y, drawn = max(each["weights"] for each in sums.values()), _TOP + 4 * _ROW + 8, []
    for (kind, each), colour in zip(sums.items(), (svg.MUTED, svg.BLUE), strict=True):
        words = f"{each['weights']:,} weights, {each['macs']:,} multiply-adds"
        drawn += [
            svg.text(_LEFT, y + 14, _NAMES[kind], bold=True),
            svg.bar(_LEFT + 128, y + 2, 300, 15, each["weights"] / most, colour, title=words),
            svg.text(_LEFT + 440, y + 14, words),
        ]
        y += 26
    return "".join(drawn)


# --- the words ----------------------------------------------------------------------------------------


def _sentences(values: dict[str, int], parts: dict, sums: dict[str, dict[str, Any]]) -> str:
    y, drawn = _TOP + 4 * _ROW + 84, []
    for words in (_verdict(sums), _dearest(parts), _sharing(values), _growth(values, sums)):
        drawn.append(svg.text(_LEFT, y, words))
        y += 22
    return "".join(drawn)


def _verdict(sums: dict[str, dict[str, Any]]) -> str:
    ratio = sums["naive"]["macs"] / sums["reduced"]["macs"]
    words = f"The naive module costs {svg.three_digits(round(ratio, 2))} times as much."
    return words if ratio >= 1 else f"{words} Reductions as wide as these do not pay."


def _dearest(parts: dict[str, tuple[Branch, ...]]) -> str:
    shares = []
    for kind, each in parts.items():
        top = max(each, key=lambda part: part.macs)
        shares.append(f"{_NAMES[kind]} {100 * top.macs / sum(p.macs for p in each):.0f} % in the {top.name}")
    return f"Where the multiply-adds are: {' branch, '.join(shares)} branch."


def _sharing(values: dict[str, int]) -> str:
    size = values["size"]
    times = f"{size} × {size} = {size**2:,} positions" if size > 1 else "a single position"
    return f"Each weight is used at {times}, so both measures stand in the same proportion everywhere."


def _growth(values: dict[str, int], sums: dict[str, dict[str, Any]]) -> str:
    outs = {kind: each["out_channels"] for kind, each in sums.items()}
    return (
        f"From {values['in_channels']} channels to {outs['naive']} (naive, never fewer than came in) "
        f"or {outs['reduced']} (with reduction)."
    )
