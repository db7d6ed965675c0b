"""Read what a member handed in, whatever the editor did to it, and mend what nbgrader stumbles over."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ENCODINGS = ("utf-8-sig", "utf-16", "cp949", "latin-1")  # latin-1 reads anything, so it is the last


class SubmissionError(Exception):
    """One sentence that says why this submission cannot be graded."""


def read_submission(folder: Path, week: str) -> tuple[NotebookNode, list[str]]:
    """The notebook in `folder` and, a sentence each, what was odd about the file; raises SubmissionError."""
    path, notes = _find(folder, f"{week}.ipynb")
    text, encoding = _decode(path.read_bytes())
    if encoding != ENCODINGS[0]:
        notes.append(f"{path.name} is stored as {encoding}, not as UTF-8; it was read all the same.")
    try:
        notebook = nbformat.reads(text, as_version=4)
        cells = [(cell.source, cell.metadata) for cell in notebook.cells]  # a broken cell shows here
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SubmissionError(f"{path.name} is no notebook that can be read: {reason[0][:120]}") from error
    if not cells:
        raise SubmissionError(f"{path.name} has no cells.")
    return notebook, notes


def _find(folder: Path, wanted: str) -> tuple[Path, list[str]]:
    found = sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))
    if folder / wanted in found:
        others = [path.name for path in found if path.name != wanted]
        return folder / wanted, [f"{', '.join(others)} was left aside."] if others else []
    if len(found) == 1:
        return found[0], [f"The file is called {found[0].name}, not {wanted}; it was graded all the same."]
    if not found:
        raise SubmissionError("There is no notebook (.ipynb) in the folder.")
    raise SubmissionError(f"There are {len(found)} notebooks and none is called {wanted}.")


def _decode(content: bytes) -> tuple[str, str]:
    order = ENCODINGS if content[:2] in (b"\xff\xfe", b"\xfe\xff") else (ENCODINGS[0], *ENCODINGS[2:])
    guess = json.detect_encoding(content)  # utf-16 and utf-32 without a mark at the start
    for encoding in (guess, *order) if guess.startswith(("utf-16", "utf-32")) else order:
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 reads anything")


def mend(notebook: NotebookNode, release: NotebookNode) -> list[str]:
    """Give `notebook`, in place, every marked cell of `release` exactly once; what was done, a sentence each.

    Marks that another editor removed come back by cell id. Of cells with the same mark the last that was
    worked on keeps it. Missing cells are put back after their predecessor. Raises SubmissionError where
    no cell of the week is left. Sources stay as they are: nbgrader itself restores locked ones.
    """
    wanted = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    notes = _restore_marks(notebook, wanted)
    if not any(_mark(cell) for cell in notebook.cells):
        raise SubmissionError("None of this week's cells is in the file: is it another notebook?")
    notes += _remove_duplicates(notebook, wanted)
    changed = [_mark(cell) for cell in notebook.cells if _mark(cell) and _restore(cell, wanted[_mark(cell)])]
    if changed:
        notes.append(f"{_cells(changed)} changed that only graders may change; the original was used.")
    missing = _restore_missing(notebook, wanted)
    if missing:
        notes.append(f"{_cells(missing)} deleted; put back.")
    return notes


def _cells(names: list[str]) -> str:
    return f"Cell {names[0]} had been" if len(names) == 1 else f"Cells {', '.join(names)} had been"


def _mark(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _restore_marks(notebook: NotebookNode, wanted: dict[str, NotebookNode]) -> list[str]:
    by_id = {cell.id: cell for cell in wanted.values()}
    present = {_mark(cell) for cell in notebook.cells}
    restored = 0
    for cell in notebook.cells:
        original = by_id.get(cell.get("id"))
        if _mark(cell) is None and original is not None and _mark(original) not in present:
            cell.metadata.nbgrader = original.metadata.nbgrader.copy()
            restored += 1
        elif _mark(cell) not in wanted:
            cell.metadata.pop("nbgrader", None)
    return [f"The marks of {restored} cells were lost and put back."] if restored else []


def _remove_duplicates(notebook: NotebookNode, wanted: dict[str, NotebookNode]) -> list[str]:
    notes = []
    for name, original in wanted.items():
        copies = [cell for cell in notebook.cells if _mark(cell) == name]
        if len(copies) > 1:
            worked_on = [cell for cell in copies if cell.source != original.source]
            kept = (worked_on or copies)[-1]
            for cell in copies:
                if cell is not kept:
                    del cell.metadata["nbgrader"]
            notes.append(f"Cell {name} is there {len(copies)} times; the last one that was worked on counts.")
    return notes


def _restore(cell: NotebookNode, original: NotebookNode) -> bool:
    """Give a cell the kind and marks of its original; whether it was changed where it must not be."""
    other_kind = cell.cell_type != original.cell_type
    other_text = original.metadata.nbgrader.locked and cell.source.strip() != original.source.strip()
    cell.cell_type = original.cell_type
    cell.metadata = nbformat.from_dict(original.metadata)
    for key in ("outputs", "execution_count"):
        cell.pop(key, None)
        if key in original:
            cell[key] = nbformat.from_dict(original[key])
    return bool(other_kind or other_text)


def _restore_missing(notebook: NotebookNode, wanted: dict[str, NotebookNode]) -> list[str]:
    missing, place = [], 0
    for name, original in wanted.items():
        places = [index for index, cell in enumerate(notebook.cells) if _mark(cell) == name]
        if places:
            place = places[0] + 1
            continue
        notebook.cells.insert(place, nbformat.from_dict(original))
        place += 1
        missing.append(name)
    return missing
