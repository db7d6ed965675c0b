"""The page that a member gets back: notes, points, answers and what the tests said. It runs nothing."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import mistune
import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry

from grading.find import Outcome
from grading.worker import Place

HEAD = """<!doctype html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ background: #f4f4f4; padding: .5rem; overflow-x: auto; white-space: pre-wrap; }}
pre.said {{ background: #fdecea; }} .waits {{ background: #fff4d6; padding: .5rem; }}
td, th {{ text-align: left; padding: .1rem 1rem .1rem 0; }} td.number {{ text-align: right; }}
img {{ max-width: 100%; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #eee; }} pre {{ background: #222; }}
  pre.said {{ background: #4a1f1b; }} .waits {{ background: #4a3c12; }} }}
</style></head><body>
<h1>{title}</h1>
"""
RECEIPT = ("timestamp.txt", "submission_secret.txt")  # of a class's exchange, which returns pages by them
FOLDED = r"<details><summary>(.*?)</summary>|</details>"  # a week's hints; other HTML is shown as it is
markdown = mistune.create_markdown(escape=True, plugins=["table"])


def write_page(place: Place, one: Outcome) -> Path:
    """Write `feedback/NAME/WEEK/WEEK.html`; what was not graded gets the notes alone."""
    folder = place.feedback / one.week if place.own else place.feedback / one.id / one.week
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{one.week}.html"
    path.write_text(_page(place, one), encoding="utf-8")
    for name in RECEIPT:
        receipt = one.path and one.path / name
        if receipt and receipt.is_file() and not receipt.is_symlink():
            shutil.copyfile(receipt, folder / name)
    return path


def _page(place: Place, one: Outcome) -> str:
    parts = [HEAD.format(title=html.escape(f"{one.week}: {one.name}"))]
    parts += [f"<p>{html.escape(note)}</p>" for note in one.notes]
    path = place.notebook(one.id, one.week)
    if one.points is None or not path.is_file():
        return "".join([*parts, "<p>Not graded.</p></body></html>"])
    parts.append(f"<p><b>{one.points:g} of {one.of:g} points</b></p>")
    if one.to_read:
        parts.append(
            '<p class="waits">A person still has to read your written answer: its points come later.</p>'
        )
    grades, comments = _from_gradebook(place, one)
    notebook = nbformat.read(path, as_version=4)
    parts.append(_index(grades))
    parts += [_cell(cell, grades, comments) for cell in notebook.cells]
    return "".join([*parts, "</body></html>"])


def _from_gradebook(place: Place, one: Outcome) -> tuple[dict, dict]:
    with place.gradebook() as book:
        try:
            found = book.find_submission_notebook(one.week, one.week, one.id)
        except MissingEntry:
            return {}, {}
        grades = {each.name: (each.score, each.max_score, each.needs_manual_grade) for each in found.grades}
        comments = {each.name: each.comment for each in found.comments if each.comment}
        return grades, comments


def _index(grades: dict) -> str:
    rows = []
    for name, (points, of, waits) in grades.items():
        reached = "not yet read" if waits else f"{points:g}"
        link = f'<a href="#{html.escape(name)}">{html.escape(name)}</a>'
        rows.append(f'<tr><td>{link}</td><td class="number">{reached}</td><td>of {of:g}</td></tr>')
    return f"<table><tr><th>Task</th><th>Points</th><th></th></tr>{''.join(rows)}</table>"


def _cell(cell: NotebookNode, grades: dict, comments: dict) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
    parts = []
    if name in grades:
        points, of, waits = grades[name]
        reached = "not yet read" if waits else f"{points:g} of {of:g}"
        parts.append(f'<h3 id="{html.escape(name)}">{html.escape(name)}: {reached}</h3>')
    if cell.cell_type == "code":
        folded = "<details><summary>What was tested</summary>" if name in grades else ""
        parts.append(f"{folded}<pre>{html.escape(cell.source)}</pre>{'</details>' if folded else ''}")
        parts += [_output(output) for output in cell.outputs]
    else:
        parts.append(str(markdown(re.sub(FOLDED, r"\1", cell.source))))
    if name in comments:
        parts.append(f"<p><b>Comment:</b> {html.escape(comments[name])}</p>")
    return "".join(parts)


def _output(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return f"<pre>{_text(output.text)}</pre>"
    if output.output_type == "error":
        return f'<pre class="said">{_text(chr(10).join(output.traceback) or output.evalue)}</pre>'
    image = output.get("data", {}).get("image/png", "")
    if re.fullmatch(r"[A-Za-z0-9+/=\s]+", image):
        return f'<img alt="figure" src="data:image/png;base64,{image}">'
    return f"<pre>{_text(output.get('data', {}).get('text/plain', ''))}</pre>"


def _text(text: str) -> str:
    return html.escape(re.sub(r"\x1b\[[0-9;]*m", "", text)[:20_000])
