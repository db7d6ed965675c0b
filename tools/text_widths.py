"""Writes course_utils/explorers/widths.py: how far each character of DejaVu Sans moves the pen.

Run it again when matplotlib ships another DejaVu: python tools/text_widths.py
"""

from pathlib import Path
from textwrap import wrap
from unicodedata import normalize

import matplotlib
from fontTools.ttLib import TTFont

# Latin, Greek, dashes and quotes, raised and lowered figures, arrows, mathematics, brackets, shapes, ticks
RANGES = (
    (0x20, 0x180), (0x391, 0x3CA), (0x2010, 0x2027), (0x2070, 0x208F), (0x2190, 0x2194), (0x2208, 0x2213),
    (0x221A, 0x221F), (0x2248, 0x2249), (0x2260, 0x2266), (0x2308, 0x230C), (0x25B2, 0x25C5), (0x2713, 0x2719),
)  # fmt: skip
TARGET = Path(__file__).parents[1] / "course_utils" / "explorers" / "widths.py"
HEAD = '''"""How wide characters of DejaVu Sans are, in 1/2048 of the font size; made by tools/text_widths.py."""

# Each width and its characters (none: the space). A letter with an accent is left out where it is as wide as without.
UNITS = 2048
'''


def table(name: str, bold: bool) -> str:
    """The widths of one weight as Python."""
    font = TTFont(
        Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf")
    )
    glyphs, advances, alike = font.getBestCmap(), font["hmtx"], {}
    codes = [code for first, end in RANGES for code in range(first, end) if code in glyphs]
    widths = {chr(code): advances[glyphs[code]][0] for code in codes}
    for character, width in widths.items():
        base = normalize("NFKD", character)[0]
        if base == character or widths.get(base) != width:
            alike.setdefault(width, []).append(character)
    items = [f"{width}:{''.join(alike[width]).strip()}" for width in sorted(alike)]
    items.append(f"{widths[' ']}:")
    lines = "\n".join(wrap(" ".join(items), 108, break_on_hyphens=False))
    return f'{name} = r"""\n{lines}\n"""\n'


if __name__ == "__main__":
    TARGET.write_text(HEAD + table("REGULAR", False) + table("BOLD", True), encoding="utf-8")
