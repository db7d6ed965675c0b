"""Writes course_utils/explorers/widths.json: how far each character of DejaVu Sans moves the pen, in units of the font.

Run it again when matplotlib ships another DejaVu: python tools/text_widths.py
"""

import json
from pathlib import Path
from unicodedata import normalize

import matplotlib
from fontTools.ttLib import TTFont

# Latin, Greek, dashes and quotes, raised and lowered figures, arrows, mathematics, brackets, shapes, ticks
RANGES = (
    (0x20, 0x180), (0x391, 0x3CA), (0x2010, 0x2027), (0x2070, 0x208F), (0x2190, 0x2194), (0x2208, 0x2213),
    (0x221A, 0x221F), (0x2248, 0x2249), (0x2260, 0x2266), (0x2308, 0x230C), (0x25B2, 0x25C5), (0x2713, 0x2719),
)  # fmt: skip
TARGET = Path(__file__).parents[1] / "course_utils" / "explorers" / "widths.json"


def table(bold: bool) -> dict[int, str]:
    """Each width of one weight and its characters; those with an accent stand there only where it makes them wider."""
    font = TTFont(
        Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf")
    )
    glyphs, advances, alike = font.getBestCmap(), font["hmtx"], {}
    codes = [code for first, end in RANGES for code in range(first, end) if code in glyphs]
    widths = {chr(code): advances[glyphs[code]][0] for code in codes}
    for character, width in widths.items():
        base = normalize("NFKD", character)[0]
        if base == character or widths.get(base) != width:
            alike[width] = alike.get(width, "") + character
    return {width: alike[width] for width in sorted(alike)}


if __name__ == "__main__":
    tables = {"units": 2048, "regular": table(False), "bold": table(True)}
    TARGET.write_text(json.dumps(tables, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
