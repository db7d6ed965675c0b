"""Runs all cells of one notebook that was handed in, each where it belongs; its outputs are filled in."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from nbformat import NotebookNode

from grading.experiments import Experiments
from grading.judge import STOPPED, Judge, Limits, bound_names, stopped
from grading.odd import oddities
from grading.sandbox import Walls

HIDDEN = "### BEGIN HIDDEN TESTS"


def run_notebook(
    notebook: NotebookNode,
    master: NotebookNode,
    handed_in: Path,
    remembered: Path,
    limits: Limits,
    threads: int,
    walls: Walls,
) -> list[str]:
    """Fill in the outputs of `notebook`; notes, a sentence each.

    `master` says which names answers have; `handed_in` holds the files beside the notebook, `remembered`
    is where experiments are kept.
    """
    answers = {_mark(cell)["grade_id"]: bound_names(cell.source) for cell in master.cells if _is_answer(cell)}
    with Judge(handed_in, limits, threads, walls) as judge:
        experiments = Experiments(judge, remembered)
        tools: set[str] = set()
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            name = _mark(cell).get("grade_id", f"cell {index}")
            if judge.left() <= 0:
                cell.outputs = [stopped("was not run: the time for the notebook was used up")]
            elif _mark(cell).get("grade") and not _mark(cell).get("solution"):
                experiments.note(cell.source)
                cell.outputs = judge.own_cell(cell.source, name)
                if HIDDEN not in cell.source:
                    judge.push(cell.source, _needed(notebook, index, cell.source))
            elif _mark(cell).get("locked"):
                tools |= set() if tools else bound_names(cell.source)
                cell.outputs = experiments.run(cell.source, name)
                judge.push(cell.source, _needed(notebook, index, cell.source))
            else:
                cell.outputs = judge.member_cell(cell.source)
                judge.answers |= answers.get(name, set())
        return [*_members_oddities(notebook, tools), *dict.fromkeys(judge.odd), *cell_notes(notebook)]


def _mark(cell: NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def _is_answer(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and _mark(cell).get("solution", False)


def _needed(notebook: NotebookNode, index: int, source: str) -> set[str]:
    """Names of a locked cell that the member's later cells speak of."""
    later = " ".join(
        c.source for c in notebook.cells[index + 1 :] if c.cell_type == "code" and not _locked(c)
    )
    return bound_names(source) & set(re.findall(r"\w+", later))


def _locked(cell: NotebookNode) -> bool:
    return _mark(cell).get("locked") or (_mark(cell).get("grade") and not _mark(cell).get("solution"))


def _members_oddities(notebook: NotebookNode, tools: set[str]) -> list[str]:
    cells = [
        (index, cell.source)
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and not _locked(cell)
    ]
    return list(oddities(cells, tools))


def cell_notes(notebook: NotebookNode) -> list[str]:
    """A sentence for each cell that was stopped or has a syntax error."""
    notes = []
    for index, cell in enumerate(notebook.cells):
        first_line = next(iter(cell.source.strip().splitlines()), "")[:40]
        first_line = _mark(cell).get("grade_id", "") if _locked(cell) else first_line
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            if output.ename == STOPPED:
                what = re.sub(r"^This cell |\.$", "", output.evalue)
            elif output.ename in ("SyntaxError", "IndentationError", "TabError") and not _locked(cell):
                what = f"has a syntax error: {_syntax_error(cell.source) or output.evalue}"
            else:
                continue
            notes.append(f"Cell {index} ({first_line}) {what}.")
    return notes


def _syntax_error(source: str) -> str:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return f"{getattr(error, 'msg', error)} (line {getattr(error, 'lineno', 1)})"
    return ""
