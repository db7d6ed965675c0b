"""What `make grade` prints and writes about all submissions: a table, and the same for spreadsheets."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from wcwidth import wcswidth

from grading.find import Outcome

COLUMNS = ("name", "week", "points", "of", "to_read", "notes")
LEGEND = "points/of;  +N: answers that a person must read;  !: see the notes;  -: not graded"


def write_csv(path: Path, outcomes: list[Outcome]) -> None:
    """One row a submission, for spreadsheets (with a mark by which Excel knows UTF-8); all of it or nothing."""
    half = path.with_suffix(".part")
    with half.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in outcomes:
            points = [f"{value:g}" if value is not None else "" for value in (one.points, one.of)]
            row = [one.name, one.week, *points, one.to_read, " ".join(one.notes)]
            writer.writerow([_harmless(each) for each in row])
    os.replace(half, path)


def _harmless(value: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    if not isinstance(value, str):
        return value
    text = re.sub(r"[\x00-\x1f]", " ", value)
    return f"'{text}" if text.lstrip()[:1] in tuple("=+-@|%") else text


def table(outcomes: list[Outcome], known: list[str]) -> str:
    """Names by weeks as text: points, `+N` for answers that a person must read, `!` where there is a note."""
    other = [""] if any(one.week not in known for one in outcomes) else []
    rows = [["", *(week.split("_")[0] for week in known), *(["other"] if other else [])]]
    for name in dict.fromkeys(one.name for one in outcomes):
        mine = {one.week if one.week in known else "": one for one in outcomes if one.name == name}
        rows.append([_printable(name), *(reached(mine.get(week)) for week in [*known, *other])])
    widths = [max(_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(_padded, row, widths)).rstrip() for row in rows]
    notes = [_printable(f"{one.name}, {one.week or '?'}: {note}") for one in outcomes for note in one.notes]
    to_read = [
        _printable(f"{one.name}, {one.week}: {one.to_read} to read") for one in outcomes if one.to_read
    ]
    parts = [lines, [LEGEND], ["Notes", *notes] if notes else [], ["To read", *to_read] if to_read else []]
    return "\n\n".join("\n".join(part) for part in parts if part)


def line(outcomes: list[Outcome], known: list[str]) -> str:
    """The weeks of one member in a line."""
    mine = {one.week: one for one in outcomes}
    return "   ".join(f"{week.split('_')[0]} {reached(mine.get(week)) or '.'}" for week in known)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _width(text: str) -> int:
    return max(wcswidth(text), 0) or len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def reached(one: Outcome | None) -> str:
    """What the table shows of one submission."""
    if one is None:
        return ""
    points = "-" if one.points is None else f"{one.points:g}/{one.of:g}"
    return points + (f" +{one.to_read}" if one.to_read else "") + (" !" if one.notes else "")
