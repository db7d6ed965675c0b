"""Blocks that know their size, and rows, columns and tables of them: pictures without coordinates.

What changes with a slider has a `least` width (pixels, or the widest words), so that nothing beside it moves.
"""

from collections.abc import Callable, Iterable, Sequence
from math import fsum  # rounds alike in every Python: sum() does not, from 3.12 on
from textwrap import wrap
from typing import Any, NamedTuple

from course_utils.explorers import svg

WIDTH, MARGIN = 880, 8  # of every page
LEADING = 1.45  # of the font size, from line to line
_ANCHOR, _SHARE = {"l": "start", "c": "middle", "r": "end"}, {"l": 0.0, "c": 0.5, "r": 1.0}


class Block(NamedTuple):
    """A piece of a picture; `draw(x, y)` is its SVG with the top left corner there."""

    width: float
    height: float
    draw: Callable[[float, float], str]


def space(width: float = 0, height: float = 0) -> Block:
    """Nothing, of this size."""
    return Block(width, height, lambda x, y: "")


def words(*lines: object, align: str = "l", least: float | str = 0, most: float = 0, **style: Any) -> Block:
    """Lines `pitch` pixels apart, aligned l, c or r, at `least` so wide (pixels, or words), cut with "…" at `most`."""
    size, share = style.pop("size", svg.SIZE), _SHARE[align]
    font, pitch = (size, style.get("bold", False)), style.pop("pitch", LEADING * size)
    texts = [svg.ellipsis(str(line), most, *font) if most else str(line) for line in lines]
    least = svg.text_width(least, *font) if isinstance(least, str) else least
    width = max([least, *(svg.text_width(text, *font) for text in texts)])
    style = {"font_size": size, "fill": svg.TEXT, "text_anchor": _ANCHOR[align], "pitch": pitch, **style}

    def draw(x: float, y: float) -> str:
        return svg.text(x + share * width, y + pitch / 2 + 0.36 * size, *texts, **style)

    return Block(width, len(texts) * pitch, draw)


def box(width: float, height: float, fill: str = "none", **style: object) -> Block:
    """A rectangle; `style` as in `svg.rect`."""
    return Block(width, height, lambda x, y: svg.rect(x, y, width, height, fill, **style))


def bar(fraction: float, width: float, fill: str, height: float = 12, title: str = "") -> Block:
    """A horizontal bar that fills `fraction` (0 to 1) of its track; more than nothing shows as a hairline."""
    filled = max(min(fraction, 1) * width, 1) if fraction > 0 else 0
    track, radius = box(width, height, svg.RAISED, rx=2), 2 if filled > 4 else None
    return over(track, box(filled, height, fill, rx=radius, title=title)) if filled else track


def chip(text: str, size: Sequence[float], stroke: str, bold: bool = False, **style: object) -> Block:
    """Words in a frame with round corners, of `size` (width, height)."""
    style = {"fill": svg.SURFACE, "stroke": stroke, "rx": 4, "stroke_width": 2 if bold else 1.5, **style}
    return over(box(*size, **style), words(text, bold=bold, align="c", least=size[0], pitch=size[1]))


def over(*blocks: Block) -> Block:
    """Blocks at the same top left corner, the first one lowest."""
    size = max(b.width for b in blocks), max(b.height for b in blocks)
    return Block(*size, lambda x, y: "".join(block.draw(x, y) for block in blocks))


def shift(block: Block, right: float = 0, down: float = 0) -> Block:
    """The block with room to its left and above it."""
    return Block(block.width + right, block.height + down, lambda x, y: block.draw(x + right, y + down))


def row(*blocks: Block | str, gap: float = 8, align: str = "c") -> Block:
    """Blocks beside each other; `align` is l (tops on a line), c or r (bottoms)."""
    return table([blocks], "l" * len(blocks), gap, upright=align)


def column(*blocks: Block | str, gap: float = 4, align: str = "l") -> Block:
    """Blocks below each other; `align` is l, c or r."""
    return table([[block] for block in blocks], align, down=gap)


def table(rows: Iterable[Sequence], columns: str, gap=10, least=(), pitch=0, down=0, upright="c") -> Block:
    """Rows of blocks, or words, in columns that are l, c or r and have `least` widths; `pitch` is a row's least height.

    `gap` is what lies between columns, `down` between rows; in a row blocks stand `upright`: as `row` aligns them.
    """
    cells = [
        [words(cell, align=align) if isinstance(cell, str) else cell for cell, align in zip(each, columns, strict=True)]
        for each in rows
    ]  # fmt: skip
    widths = [max(block.width for block in each) for each in zip(*cells, strict=True)]
    for i, width in enumerate(least):
        widths[i] = max(widths[i], svg.text_width(width) if isinstance(width, str) else width)
    heights, up = [max(pitch, *(block.height for block in each)) for each in cells], _SHARE[upright]

    def draw(x: float, y: float) -> str:
        drawn = []
        for each, height in zip(cells, heights, strict=True):
            left = x
            for block, align, width in zip(each, columns, widths, strict=True):
                place = left + _SHARE[align] * (width - block.width), y + up * (height - block.height)
                drawn.append(block.draw(*place))
                left += width + gap
            y += height + down
        return "".join(drawn)

    size = [fsum(each) + apart * (len(each) - 1) for each, apart in ((widths, gap), (heights, down))]
    return Block(*size, draw)


def legend(*entries: tuple[str, str]) -> Block:
    """A row of (fill, words): a swatch and its meaning."""
    return row(*(row(box(12, 12, fill, stroke=svg.LINE), said, gap=5) for fill, said in entries), gap=14)


def page(title: str, *blocks: Block, gap: float = 12) -> str:
    """The whole picture, always equally wide: blocks below each other; `title` says in words what is shown."""
    body = column(*blocks, gap=gap)
    return svg.document(WIDTH, body.height + 2 * MARGIN, title, body.draw(MARGIN, MARGIN))


def problem_page(sentence: str, advice: str) -> str:
    """What stands in place of a picture that can't be drawn: the sentence, and the way out."""
    width = WIDTH - 2 * MARGIN
    lines, more = wrap(sentence, 72), wrap(advice, 72)
    said = column(words(*lines, size=16, bold=True, most=width - 40), words(*more, size=16, most=width - 40))
    frame = box(width, said.height + 30, svg.SURFACE, stroke=svg.VERMILION, stroke_width=1.5, rx=6)
    edge = box(8, said.height + 30, svg.VERMILION)
    return page(f"{sentence} {advice}", over(frame, edge, shift(said, 26, 15)))
