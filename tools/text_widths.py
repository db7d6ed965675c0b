"""Writes course_utils/explorers/widths.py: how far each character of DejaVu Sans moves the pen.

Run it again when matplotlib ships another DejaVu: python tools/text_widths.py
"""

from pathlib import Path
from textwrap import wrap

import matplotlib
from fontTools.ttLib import TTFont

RANGES = ((0x20, 0x400), (0x2000, 0x2300), (0x2500, 0x27C0))  # Latin, Greek, signs, arrows, blocks, ticks
TARGET = Path(__file__).parents[1] / "course_utils" / "explorers" / "widths.py"
HEAD = '''"""How wide the characters of DejaVu Sans are, in 1/2048 of the font size; made by tools/text_widths.py."""

# The first character of each run, then the widths of it and its followers; of both weights, 0 where there is none.
UNITS = 2048
'''


def widths(bold: bool, first: int, end: int) -> list[int]:
    """The widths of the characters from `first` up to `end`; 0 for those that the font does not have."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = TTFont(Path(matplotlib.get_data_path(), "fonts", "ttf", name))
    glyphs, advances = font.getBestCmap(), font["hmtx"]
    return [advances[glyphs[code]][0] if code in glyphs else 0 for code in range(first, end)]


def table(name: str, bold: bool) -> str:
    """The runs of one weight as Python."""
    rows = []
    for first, end in RANGES:
        lines = "\n".join(wrap(" ".join(map(str, widths(bold, first, end))), 108))
        rows.append(f'    {first:#x}: """\n{lines}\n""",\n')
    return f"{name} = {{\n{''.join(rows)}}}\n"


if __name__ == "__main__":
    TARGET.write_text(HEAD + table("REGULAR", False) + table("BOLD", True), encoding="utf-8")
