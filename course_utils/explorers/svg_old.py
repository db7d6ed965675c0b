"""Pieces of SVG text that every explorer draws with: words that fit, bars, grids, axes, hatching, colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from html import escape
from pathlib import Path

from course_utils.explorers import widths

# JupyterLab's theme, each with the light theme's value for places that have no theme (PNG, GitHub).
TEXT = "var(--jp-ui-font-color1, #212121)"
MUTED = "var(--jp-ui-font-color2, #616161)"
BACKGROUND = "var(--jp-layout-color0, #ffffff)"  # what the picture lies on
SURFACE = "var(--jp-layout-color1, #ffffff)"
RAISED = "var(--jp-layout-color2, #eeeeee)"
LINE = "var(--jp-border-color1, #bdbdbd)"
FAINT = "var(--jp-border-color2, #e0e0e0)"
FONT = "var(--jp-ui-font-family, 'DejaVu Sans', sans-serif)"

# Okabe & Ito 2008, without black, which a dark theme would swallow.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"

SMALLEST = 11  # pixels on the screen that no text goes below
UNIQUE = (
    "__unique__"  # ends every id; an explorer's view has its own here, ids being shared by the whole page
)


# --- numbers as words ---------------------------------------------------------------------------------


def num(value: float) -> str:
    """A coordinate in as few characters as a tenth of a pixel needs: 12.0 -> "12", 0.25 -> "0.2"."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def three_digits(value: float) -> str:
    """Three significant digits with thousands commas, whole numbers as they are: 32112.7 -> "32,100"."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:#.3g}"


def short(value: float) -> str:
    """Three significant digits with thousand (K), million (M), billion (G) or more: 105415200 -> "105 M"."""
    if abs(value) < 999.5:
        return three_digits(value)
    for unit in "KMGT":
        value /= 1000
        if abs(value) < 999.5 or unit == "T":
            break
    return (f"{value:#.3g}".rstrip(".") if abs(value) < 999.5 else three_digits(value)) + f" {unit}"


def in_bytes(count: float) -> str:
    """Memory with three significant digits, in powers of 1000: 117600 -> "118 kB"."""
    return f"{int(count)} bytes" if count < 1000 else short(count).replace(" K", " k") + "B"


_WIDEST = 1.0  # for what the table does not have: Korean and Chinese characters are as wide as high


# --- words that fit -----------------------------------------------------------------------------------


@cache
def font_files() -> tuple[str, str]:
    """matplotlib's DejaVu Sans, regular and bold: the same picture whatever fonts a machine has."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return str(folder / "DejaVuSans.ttf"), str(folder / "DejaVuSans-Bold.ttf")


@cache
def _advances(bold: bool) -> dict[str, float]:
    runs = (widths.BOLD if bold else widths.REGULAR).items()
    return {
        chr(first + i): int(units) / widths.UNITS
        for first, run in runs
        for i, units in enumerate(run.split())
    }


@lru_cache(4096)
def text_width(words: str, size: float = 14, bold: bool = False) -> float:
    """Pixels that the words take in DejaVu Sans, which is wider than the fonts browsers put in its place."""
    advances = _advances(bold)
    return size * sum(advances.get(c) or _WIDEST for c in words)


def ellipsis(words: str, width: float, size: float = 14, bold: bool = False) -> str:
    """The words, cut with "…" where they are wider than `width` pixels."""
    if text_width(words, size, bold) <= width:
        return words
    while words and text_width(words + "…", size, bold) > width:
        words = words[:-1]
    return words.rstrip() + "…"


def wrap(words: str, width: float, size: float = 14, bold: bool = False) -> list[str]:
    """The words in lines of at most `width` pixels; a single longer word is cut with "…"."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold) <= width:
            lines[-1] = longer
        else:
            lines.append(ellipsis(word, width, size, bold))
    return lines


def text(
    x: float,
    y: float,
    words: object,
    size: float = 14,
    anchor: str = "start",
    bold: bool = False,
    fill: str = TEXT,
    width: float | None = None,
) -> str:
    """One line of text with its baseline at `y`; `anchor` is start, middle or end; cut to `width`."""
    words = str(words)
    if width is not None:
        words = ellipsis(words, width, size, bold)
    style = (f' text-anchor="{anchor}"' if anchor != "start" else "") + (' font-weight="700"' if bold else "")
    return (
        f'<text x="{num(x)}" y="{num(y)}" font-size="{num(size)}" fill="{fill}"{style}>{escape(words)}</text>'
    )


def paragraph(
    x: float, y: float, words: str, width: float, size: float = 14, leading: float = 1.45, **style
) -> tuple[str, float]:
    """Wrapped text and the height it takes; the first baseline is at `y`. `style` goes to `text`."""
    lines = wrap(words, width, size, style.get("bold", False))
    drawn = "".join(text(x, y + i * size * leading, line, size, **style) for i, line in enumerate(lines))
    return drawn, len(lines) * size * leading


# --- shapes -------------------------------------------------------------------------------------------


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str = "none",
    stroke: str | None = None,
    stroke_width: float = 1,
    radius: float = 0,
    opacity: float = 1,
    title: str | None = None,
) -> str:
    """A rectangle; `title` is what a browser shows when the pointer rests on it."""
    attributes = f'x="{num(x)}" y="{num(y)}" width="{num(max(width, 0))}" height="{num(max(height, 0))}"'
    attributes += f' fill="{fill}"'
    if stroke:
        attributes += f' stroke="{stroke}" stroke-width="{num(stroke_width)}"'
    if radius:
        attributes += f' rx="{num(radius)}"'
    if opacity != 1:
        attributes += f' opacity="{opacity:g}"'
    return f"<rect {attributes}><title>{escape(title)}</title></rect>" if title else f"<rect {attributes}/>"


def line(
    x1: float, y1: float, x2: float, y2: float, stroke: str = LINE, stroke_width: float = 1, dash: str = ""
) -> str:
    """A straight line; `dash` is an SVG dash pattern such as "4 3"."""
    return path(f"M{num(x1)} {num(y1)}L{num(x2)} {num(y2)}", "none", stroke, stroke_width, dash)


def path(
    d: str, fill: str = "none", stroke: str | None = None, stroke_width: float = 1, dash: str = ""
) -> str:
    """An SVG path from its commands: hundreds of cells in one path are far fewer bytes than rectangles."""
    outline = f' stroke="{stroke}" stroke-width="{num(stroke_width)}"' if stroke else ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{d}" fill="{fill}"{outline}{dashes}/>'


def circle(x: float, y: float, radius: float, fill: str) -> str:
    """A dot around (x, y)."""
    return f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(radius)}" fill="{fill}"/>'


def boxes(corners: Iterable[tuple[float, float, float, float]], fill: str) -> str:
    """Many rectangles `(x, y, width, height)` of one colour as a single path; nothing if there are none."""
    d = "".join(f"M{num(x)} {num(y)}h{num(w)}v{num(h)}h{num(-w)}z" for x, y, w, h in corners)
    return path(d, fill) if d else ""


def polyline(
    points: Sequence[tuple[float, float]],
    stroke: str,
    stroke_width: float = 2,
    markers: float = 0,
    dash: str = "",
) -> str:
    """A curve through the points, with a dot of radius `markers` on each if that is not 0."""
    d = "M" + "L".join(f"{num(x)} {num(y)}" for x, y in points)
    dots = "".join(circle(x, y, markers, stroke) for x, y in points) if markers else ""
    return path(d, "none", stroke, stroke_width, dash) + dots


def bar(
    x: float, y: float, width: float, height: float, fraction: float, fill: str = BLUE, title: str = ""
) -> str:
    """A horizontal bar that fills `fraction` (0 to 1) of its track; more than nothing shows as a hairline."""
    filled = min(max(fraction, 0), 1) * width
    filled = max(filled, 1) if fraction > 0 else 0
    return rect(x, y, width, height, RAISED, radius=2) + rect(
        x, y, filled, height, fill, radius=2 if filled > 4 else 0, title=title or None
    )


def grid(
    x: float, y: float, rows: int, columns: int, cell: float, stroke: str = LINE, stroke_width: float = 1
) -> str:
    """The lines of a grid of square cells, as one path."""
    width, height = columns * cell, rows * cell
    d = "".join(f"M{num(x)} {num(y + i * cell)}h{num(width)}" for i in range(rows + 1))
    d += "".join(f"M{num(x + j * cell)} {num(y)}v{num(height)}" for j in range(columns + 1))
    return path(d, stroke=stroke, stroke_width=stroke_width)


def axis(
    x: float,
    y: float,
    length: float,
    ticks: Iterable[tuple[float, str]],
    side: str = "bottom",
    label: str = "",
    size: float = 14,
) -> str:
    """An axis from (x, y), to the right (side "bottom") or upwards (side "left"), of `length` pixels.

    `ticks` are (fraction of the length from 0 to 1, words).
    """
    drawn = []
    if side == "bottom":
        drawn.append(line(x, y, x + length, y))
        for at, words in ticks:
            drawn += [line(x + at * length, y, x + at * length, y + 4)]
            drawn += [text(x + at * length, y + 5 + size, words, size, "middle", fill=MUTED)]
        drawn.append(text(x + length / 2, y + 9 + 2.2 * size, label, size, "middle") if label else "")
    else:
        drawn.append(line(x, y, x, y - length))
        for at, words in ticks:
            drawn += [line(x - 4, y - at * length, x, y - at * length)]
            drawn += [text(x - 7, y - at * length + 0.35 * size, words, size, "end", fill=MUTED)]
        drawn.append(text(x, y - length - 0.8 * size, label, size, "middle") if label else "")
    return "".join(drawn)


def hatch(name: str = "hatch", colour: str = VERMILION, spacing: float = 6) -> tuple[str, str]:
    """A definition to put once into the picture, and the `fill` value that uses it: diagonal lines."""
    name = f"{name}-{UNIQUE}"
    definition = (
        f'<defs><pattern id="{name}" width="{num(spacing)}" height="{num(spacing)}" '
        f'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="{num(spacing)}" height="{num(spacing)}" fill="{colour}" opacity="0.2"/>'
        f'<path d="M1 0v{num(spacing)}" stroke="{colour}" stroke-width="2"/></pattern></defs>'
    )
    return definition, f"url(#{name})"


def image(x: float, y: float, width: float, height: float, data_uri: str, title: str = "") -> str:
    """A bitmap ("data:image/jpeg;base64,...") scaled to fit the box without distortion."""
    return (
        f'<image x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(height)}" '
        f'href="{data_uri}"><title>{escape(title)}</title></image>'
    )


def legend(x: float, y: float, entries: Iterable[tuple[str, str]], size: float = 14, gap: float = 14) -> str:
    """A row of (fill, words): a swatch and its meaning, the text's baseline at `y`."""
    drawn = []
    for fill, words in entries:
        drawn += [rect(x, y - size + 2, size - 2, size - 2, fill, LINE), text(x + size + 3, y, words, size)]
        x += size + 3 + text_width(words, size) + gap
    return "".join(drawn)


# --- the whole picture --------------------------------------------------------------------------------


def document(
    width: float, height: float, title: str, *body: str, smallest: float = 14, widest: float = 1.15
) -> str:
    """The whole SVG: as wide as its cell, up to `widest` times its own width.

    `smallest` is the smallest font size in `body`; rather than shrink until that is less than 11 pixels on
    the screen, the picture scrolls sideways in its cell (with 880 and 14, only in a window below 900 pixels).
    `title` says in words what is shown.
    """
    least = min(width, width * SMALLEST / smallest)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {num(width)} {num(height)}" '
        f'font-family="{FONT}" style="display:block;width:100%;max-width:{num(width * widest)}px;'
        f'min-width:{num(least)}px"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def problem_document(sentence: str, advice: str, width: float = 880) -> str:
    """What stands in place of a picture that can't be drawn: the sentence, and the way out."""
    said, height = paragraph(34, 40, sentence, width - 60, 16, bold=True)
    advised, more = paragraph(34, 46 + height, advice, width - 60, 15)
    total = 50 + height + more
    frame = rect(1, 1, width - 2, total - 2, SURFACE, VERMILION, 1.5, radius=6)
    return document(
        width, total, f"{sentence} {advice}", frame, rect(1, 1, 8, total - 2, VERMILION), said, advised
    )


_VARIABLE = re.compile(r"var\((--[\w-]+),\s*((?:[^()]|\([^()]*\))*)\)")


def themed(svg: str, theme: dict[str, str] | None = None) -> str:
    """The picture with each CSS variable replaced by its value in `theme`, or else by its own fallback."""
    return _VARIABLE.sub(lambda m: (theme or {}).get(m[1], m[2]), svg)


def to_png(
    svg: str, width: int = 1320, background: str = "#ffffff", theme: dict[str, str] | None = None
) -> bytes:
    """The picture as PNG, `width` pixels wide, on a white background and with fonts that travel with us."""
    from resvg_py import svg_to_bytes

    plain = themed(svg, theme).replace("'DejaVu Sans', sans-serif", "DejaVu Sans")
    return svg_to_bytes(
        svg_string=plain,
        width=width,
        background=background,
        skip_system_fonts=True,
        font_files=list(font_files()),
        font_family="DejaVu Sans",
        sans_serif_family="DejaVu Sans",
    )
