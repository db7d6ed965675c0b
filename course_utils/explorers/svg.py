"""SVG as text: elements in the theme's colours, how wide words are, and the whole picture."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from html import escape
from math import fsum  # rounds alike in every Python: sum() does not, from 3.12 on
from pathlib import Path
from unicodedata import normalize

from course_utils.colours import COLOURS

# JupyterLab's theme, each with the light theme's value for places that have no theme (PNG, GitHub).
TEXT = "var(--jp-ui-font-color1, #212121)"
MUTED = "var(--jp-ui-font-color2, #616161)"
BACKGROUND = "var(--jp-layout-color0, #ffffff)"  # what the picture lies on
SURFACE = "var(--jp-layout-color1, #ffffff)"
RAISED = "var(--jp-layout-color2, #eeeeee)"
LINE = "var(--jp-border-color1, #bdbdbd)"
FAINT = "var(--jp-border-color2, #e0e0e0)"
FONT = "var(--jp-ui-font-family, 'DejaVu Sans', sans-serif)"
BLUE, ORANGE, GREEN = COLOURS["blue"], COLOURS["orange"], COLOURS["green"]
VERMILION, PURPLE, SKY = COLOURS["vermilion"], COLOURS["purple"], COLOURS["sky"]  # dark themes hide black

SIZE = 14  # of text in a picture; no text is smaller
SMALLEST = 11  # pixels on the screen that no text goes below
WIDEST = 1.15  # times its own width that a picture grows to
# Ends every id; an explorer's view has its own here, ids being shared by the whole page.
UNIQUE = "__unique__"
_VARIABLE = re.compile(r"var\((--[\w-]+),\s*((?:[^()]|\([^()]*\))*)\)")  # of the theme, and its fallback
_USUAL = {"font_size": SIZE, "fill": TEXT, "text_anchor": "start"}  # not said again
_BEYOND = 1.0  # for what the table does not have: Korean and Chinese characters are as wide as high


def tag(name: str, content: str = "", title: str = "", **attributes: object) -> str:
    """One element: "_" in a name is a hyphen, None is left out, numbers have one digit behind the point."""
    said = [f' {k.replace("_", "-")}="{num(v)}"' for k, v in attributes.items() if v is not None]
    content = (f"<title>{escape(title)}</title>" if title else "") + content
    return f"<{name}{''.join(said)}>{content}</{name}>" if content else f"<{name}{''.join(said)}/>"


def num(value: object) -> object:
    """A coordinate in as few characters as a tenth of a pixel needs: 12.0 -> "12", 0.25 -> "0.2"."""
    return f"{round(value, 1):g}" if isinstance(value, float) else value


@cache
def advances(bold: bool) -> dict[str, float]:
    """How wide characters are at font size 1; those with an accent are as wide as without, or stand for themselves."""
    tables = json.loads(Path(__file__).with_name("widths.json").read_text(encoding="utf-8"))
    widths, units = tables["bold" if bold else "regular"], tables["units"]
    return {c: int(width) / units for width, characters in widths.items() for c in characters}


@lru_cache(4096)
def text_width(words: str, size: float = SIZE, bold: bool = False) -> float:
    """Pixels that the words take in DejaVu Sans, which is wider than the fonts browsers put in its place."""
    known = advances(bold)
    return size * fsum(known.get(c) or known.get(normalize("NFKD", c)[0], _BEYOND) for c in words)


def ellipsis(words: str, width: float, size: float = SIZE, bold: bool = False) -> str:
    """The words, cut with "…" where they are wider than `width` pixels."""
    if text_width(words, size, bold) <= width:
        return words
    while words and text_width(words + "…", size, bold) > width:
        words = words[:-1]
    return words.rstrip() + "…"


def text(x: float, y: float, *lines: object, pitch: float = 0, bold: bool = False, **style: object) -> str:
    """Lines `pitch` pixels apart, the first with its baseline at `y`; `style` may be what _USUAL names."""
    style = {name: value for name, value in style.items() if value != _USUAL[name]}
    style["font_weight"] = "700" if bold else None
    own = style if len(lines) == 1 else {}  # else said once, around them
    each = [tag("text", escape(str(s)), x=x, y=y + i * pitch, **own) for i, s in enumerate(lines) if str(s)]
    return "".join(each) if own else tag("g", "".join(each), **style)


def rect(x: float, y: float, width: float, height: float, fill: str = "none", **style: object) -> str:
    """A rectangle; `style` may be stroke, stroke_width, rx, opacity and title."""
    return tag("rect", x=x, y=y, width=max(width, 0), height=max(height, 0), fill=fill, **style)


def line(points: Iterable, stroke: str = LINE, width: float | None = None, dash: str | None = None) -> str:
    """A line through the points (x, y); `dash` is an SVG dash pattern such as "4 3"."""
    d = "M" + "L".join(f"{num(x)} {num(y)}" for x, y in points)
    return tag("path", d=d, fill="none", stroke=stroke, stroke_width=width, stroke_dasharray=dash)


def boxes(corners: Iterable[Sequence[float]], fill: str, opacity: str | None = None) -> str:
    """Many rectangles `(x, y, width, height)` of one colour as a single path; nothing if there are none."""
    d = "".join(f"M{num(x)} {num(y)}h{num(w)}v{num(h)}h{num(-w)}z" for x, y, w, h in corners)
    return tag("path", d=d, fill=fill, opacity=opacity) if d else ""


@lru_cache(64)
def grid(x: float, y: float, count: int, side: float, stroke: str = LINE) -> str:
    """The lines of a square grid of `count` × `count` cells, `side` pixels long, as one path."""
    steps = [i * side / count for i in range(count + 1)]
    d = "".join(f"M{num(x)} {num(y + at)}h{num(side)}M{num(x + at)} {num(y)}v{num(side)}" for at in steps)
    return tag("path", d=d, fill="none", stroke=stroke, stroke_width=0.6)


def axis(x: float, y: float, length: float, ticks: Iterable[tuple[float, str]], upwards: bool = False) -> str:
    """An axis from (x, y), to the right or `upwards`; `ticks` are (pixels from there, words)."""
    drawn = [line([(x, y), (x, y - length) if upwards else (x + length, y)])]
    for at, words in ticks:
        mark = [(x, y - at), (x - 4, y - at)] if upwards else [(x + at, y), (x + at, y + 4)]
        place = (x - 7, y - at + 5) if upwards else (x + at, y + 19)
        drawn.append(line(mark) + text(*place, words, fill=MUTED, text_anchor="end" if upwards else "middle"))
    return "".join(drawn)


def hatch(name: str) -> tuple[str, str]:
    """A definition to put once into the picture, and the `fill` value that uses it: diagonal lines."""
    name = f"{name}-{UNIQUE}"
    lines = rect(0, 0, 6, 6, VERMILION, opacity="0.2") + line([(1, 0), (1, 6)], VERMILION, 2)
    turned = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    return tag("defs", tag("pattern", lines, id=name, width=6, height=6, **turned)), f"url(#{name})"


def image(x: float, y: float, side: float, data_uri: str, title: str = "") -> str:
    """A square bitmap ("data:image/jpeg;base64,...")."""
    return tag("image", title=title, x=x, y=y, width=side, height=side, href=data_uri)


def document(width: float, height: float, title: str, *body: str) -> str:
    """The whole SVG, as wide as its cell within bounds that keep text legible; `title` says in words what is shown."""
    widths = f"max-width:{width * WIDEST:g}px;min-width:{width * SMALLEST / SIZE:.1f}px"
    frame = {"viewBox": f"0 0 {num(width)} {num(height)}", "style": f"display:block;width:100%;{widths}"}
    words = {"role": "img", "font_family": FONT, "font_size": SIZE, "fill": TEXT}
    return tag("svg", "".join(body), title, xmlns="http://www.w3.org/2000/svg", **frame, **words)


def to_png(svg: str, width: int, background: str = "#ffffff", theme: dict[str, str] | None = None) -> bytes:
    """The picture as PNG, `width` pixels wide, on white, in matplotlib's font on every machine."""
    from matplotlib import get_data_path
    from resvg_py import svg_to_bytes

    name = "DejaVu Sans"
    theme = {"--jp-ui-font-family": name, **(theme or {})}
    coloured = _VARIABLE.sub(lambda m: theme.get(m[1], m[2]), svg)
    files = [f"{get_data_path()}/fonts/ttf/DejaVuSans{weight}.ttf" for weight in ("", "-Bold")]
    fonts = {"font_files": files, "font_family": name, "sans_serif_family": name}
    return svg_to_bytes(coloured, width=width, background=background, skip_system_fonts=True, **fonts)
