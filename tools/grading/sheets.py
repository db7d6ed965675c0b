"""Sheets on which members read each other's written answers: `reading/WEEK/NAME.md`, the rubric below the answer.

A reader puts an x into the boxes of what is there, a name behind "Read by:", a sentence behind "Comment:".
`make grade` takes over a point for each box, as if a person had given it in nbgrader's form.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grading.find import Outcome, master_of
from grading.worker import Place

BOX = re.compile(r"^- \[(.?)\] ", re.MULTILINE)
FIELD = {name: re.compile(rf"^{name}:(.*)$", re.MULTILINE) for name in ("Read by", "Comment")}


def write_sheets(place: Place, outcomes: list[Outcome], masters: dict[str, NotebookNode]) -> list[Path]:
    """A sheet for each answer that waits for a person, with the next member of the week as its reader."""
    written = []
    for week, master in masters.items():
        waiting = [one for one in outcomes if one.week == week and one.to_read]
        for number, one in enumerate(waiting):
            path = place.course / "reading" / week / f"{one.id}.md"
            reader = waiting[(number + 1) % len(waiting)].name if len(waiting) > 1 else "anybody"
            text = _sheet(place, one, master, reader)
            if not path.exists() or _answer(path.read_text(encoding="utf-8")) != _answer(text):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def take_over(place: Place, one: Outcome) -> str:
    """Put the points of a filled-in sheet into the gradebook; a sentence where it cannot be read."""
    path = place.course / "reading" / one.week / f"{one.id}.md"
    if not path.is_file() or not one.to_read:
        return ""
    text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\r\n", "\n")
    reader = _field(text, "Read by")
    boxes = BOX.findall(text.split("\n## Rubric")[-1])
    if not reader:
        return "A sheet has crosses but no name behind Read by: it was left aside." if "x" in boxes else ""
    master = master_of(place.course, one.week)
    cell, notebook = _written(master), nbformat.read(place.notebook(one.id, one.week), as_version=4)
    name = cell.metadata.nbgrader.grade_id
    if _quoted(_written(notebook).source) != _answer(text):
        return f"The sheet read by {reader} shows another text than was handed in: it was left aside."
    if len(boxes) != len(_rubric(cell)):
        return f"The sheet read by {reader} has {len(boxes)} boxes in place of {len(_rubric(cell))}."
    each = cell.metadata.nbgrader.points / len(boxes)
    with place.gradebook() as book:
        grade = book.find_grade(name, one.week, one.week, one.id)
        grade.manual_score = each * sum(box.lower() == "x" for box in boxes)
        grade.needs_manual_grade = False
        comment = book.find_comment(name, one.week, one.week, one.id)
        comment.manual_comment = f"Read by {reader}. {_field(text, 'Comment')}".strip()
        book.db.commit()
    return ""


def _sheet(place: Place, one: Outcome, master: NotebookNode, reader: str) -> str:
    notebook = nbformat.read(place.notebook(one.id, one.week), as_version=4)
    boxes = "\n".join(f"- [ ] {line}" for line in _rubric(_written(master)))
    return (
        f"# {one.week}: {one.name}\n\nReader: {reader}\n\n## Answer\n\n{_quoted(_written(notebook).source)}\n\n"
        f"## Rubric\n\nPut an x between the brackets of what the answer says, then your name.\n\n{boxes}\n\n"
        "Read by:\nComment:\n"
    )


def _written(notebook: NotebookNode) -> NotebookNode:
    marked = (cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    return next(cell for cell in marked if cell.metadata.nbgrader.solution)


def _rubric(cell: NotebookNode) -> list[str]:
    lines = cell.source.split("**Rubric.**")[-1].strip().splitlines()
    return [line[2:] for line in lines if line.startswith("- ")] or ["the whole answer"]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _answer(sheet: str) -> str:
    """The quoted answer of a sheet."""
    part = sheet.split("\n## Answer\n")[-1].split("\n## Rubric")[0]
    return "\n".join(line.rstrip() for line in part.strip().splitlines())


def _field(text: str, name: str) -> str:
    found = FIELD[name].findall(text.split("\n## Rubric")[-1])
    return found[-1].strip() if found else ""
