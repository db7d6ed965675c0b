"""Read what a member handed in, whatever the editor did to it, and mend what nbgrader stumbles over."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

PACKED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".egg", ".alz")
LARGEST = 100_000_000  # bytes of a notebook
SYSTEMS_OWN = re.compile(
    r"\.(_.*|DS_Store|localized|directory|Trash.*|git.*|ipynb_checkpoints|vscode|idea|~lock.*)|__(MACOSX|pycache__)"
    r"|Thumbs\.db|desktop\.ini|Icon\r|timestamp\.txt|submission_secret\.txt",
    re.IGNORECASE,
)
KNOWN = 1 / 3  # share of a week's cells that a notebook of it still has
ENCODINGS = ("utf-8-sig", "utf-16", "cp949", "latin-1")  # latin-1 reads anything, so it is the last


class SubmissionError(Exception):
    """One sentence that says why this submission cannot be graded."""


def read_submission(folder: Path, week: str) -> tuple[NotebookNode, list[str]]:
    """The notebook in `folder` and, a sentence each, what was odd about the file; raises SubmissionError."""
    path, notes = _find(folder, f"{week}.ipynb")
    notebook, more = read_notebook(path)
    return notebook, notes + more


def read_notebook(path: Path) -> tuple[NotebookNode, list[str]]:
    """A notebook in whatever encoding it is stored, and notes; raises SubmissionError."""
    try:
        if path.is_symlink() or not path.is_file():
            raise SubmissionError(f"{path.name} is a link or no file; hand in the notebook itself.")
        if path.stat().st_size > LARGEST:
            raise SubmissionError(f"{path.name} has more than {LARGEST // 1_000_000} MB: clear its outputs.")
        text, encoding = _decode(path.read_bytes())
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}.") from error
    notes = []
    if encoding != ENCODINGS[0]:
        notes.append(f"{path.name} is stored as {encoding}, not as UTF-8; it was read all the same.")
    try:
        if text.lstrip().startswith("<"):
            raise ValueError("it is a web page, saved in place of the notebook")
        if not text.strip():
            raise ValueError("it is empty")
        content = json.loads(text.lstrip("\ufeff"))
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise ValueError("it has no list of cells")
        notebook = nbformat.reads(json.dumps(_repaired(content)), as_version=4)
        cells = [(cell.source, cell.metadata) for cell in notebook.cells]  # a broken cell shows here
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SubmissionError(f"{path.name} is no notebook that can be read: {reason[0][:120]}") from error
    if not cells:
        raise SubmissionError(f"{path.name} has no cells.")
    return notebook, notes


def _repaired(content: dict) -> dict:
    """Without what other editors leave: sources that are null, line ends of Windows, cells without metadata."""
    for cell in content["cells"]:
        source = cell.get("source")
        source = "".join(source) if isinstance(source, list) else source or ""
        cell["source"] = source.replace("\r\n", "\n").replace("\r", "\n")
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        if not isinstance(cell["metadata"].get("nbgrader", {}), dict):
            del cell["metadata"]["nbgrader"]
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return content


def notebooks(folder: Path) -> list[Path]:
    """Every file below `folder` that is called like a notebook, but for what systems and editors keep there."""
    parts = {path: path.relative_to(folder).parts for path in folder.rglob("*")}
    found = [path for path, names in parts.items() if not any(map(SYSTEMS_OWN.fullmatch, names))]
    return sorted(path for path in found if is_notebook(path))


def is_notebook(path: Path) -> bool:
    """By its name; browsers put .txt or .json behind it."""
    return bool(re.search(r"\.ipynb(\.txt|\.json)?$", path.name, re.IGNORECASE)) and not path.is_dir()


def _find(folder: Path, wanted: str) -> tuple[Path, list[str]]:
    if folder.is_file():
        return folder, []
    found = notebooks(folder)
    here = [path for path in found if path.parent == folder]
    packed = [path.name for path in folder.iterdir() if path.suffix.lower() in PACKED]
    if folder / wanted in here:
        path, notes = folder / wanted, []
    elif len(here) == 1:
        path, notes = (
            here[0],
            [f"The file is called {here[0].name}, not {wanted}; it was graded all the same."],
        )
    elif len(found) == 1:
        path, notes = found[0], [f"The notebook lay deeper, in {found[0].parent.relative_to(folder)}."]
    elif found:
        raise SubmissionError(f"There are {len(found)} notebooks and none is called {wanted}.")
    else:
        raise SubmissionError(f"There is no notebook (.ipynb) in the folder{_instead(folder, packed)}.")
    others = [str(other.relative_to(folder)) for other in found if other != path] + packed
    were = "was" if len(others) == 1 else "were"
    return path, notes + ([f"{', '.join(others)} {were} left aside."] if others else [])


def _instead(folder: Path, packed: list[str]) -> str:
    if packed:
        return f": unpack {', '.join(packed)}"
    files = [path.name for path in folder.iterdir() if not SYSTEMS_OWN.fullmatch(path.name)]
    return f", only {', '.join(sorted(files)[:5])}" if files else ""


def week_of(notebook: NotebookNode, weeks: dict[str, NotebookNode]) -> str | None:
    """The week whose cells the notebook has; `weeks` maps names to their masters or releases."""
    shares = {name: share(notebook, release) for name, release in weeks.items()}
    best = max(shares, key=shares.get, default=None)
    return best if best and shares[best] >= KNOWN else None


def share(notebook: NotebookNode, release: NotebookNode) -> float:
    """Share of a week's own marked cells that a notebook has, by mark, by id or by text."""
    found = {_mark(cell) for cell in notebook.cells} | {cell.get("id") for cell in notebook.cells}
    texts = {cell.source.strip() for cell in notebook.cells}
    own = [cell for cell in release.cells if _mark(cell) not in (None, "setup", "discussion")]
    here = [c for c in own if _mark(c) in found or c.get("id") in found or c.source.strip() in texts]
    return len(here) / max(len(own), 1)


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

    Marks that another editor removed come back by cell id or by text. Of cells with the same mark the last
    that was worked on keeps it. Missing cells are put back after their predecessor. Raises SubmissionError
    where no cell of the week is left. Sources stay as they are: nbgrader itself restores locked ones.
    """
    wanted = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    notes = _restore_marks(notebook, wanted)
    if not any(_mark(cell) for cell in notebook.cells):
        raise SubmissionError("None of this week's cells is in the file: is it another notebook?")
    notes += _remove_duplicates(notebook, wanted)
    kinds = [n for cell in notebook.cells if (n := _mark(cell)) and cell.cell_type != wanted[n].cell_type]
    changed = [n for cell in notebook.cells if (n := _mark(cell)) and _restore(cell, wanted[n])]
    if changed:
        notes.append(f"{_cells(changed)} changed that only graders may change; the original was used.")
    kinds = [name for name in kinds if name not in changed]
    if kinds:
        notes.append(f"{_cells(kinds)} turned into another kind of cell; the text was kept.")
    missing = _restore_missing(notebook, release, wanted)
    if missing:
        notes.append(f"{_cells(missing)} deleted; put back.")
    return notes + _gather_written(notebook, release, wanted)


def _gather_written(
    notebook: NotebookNode, release: NotebookNode, wanted: dict[str, NotebookNode]
) -> list[str]:
    """Take a written answer from a cell of its own around the one that was meant for it, or from the question's."""
    notes = []
    for index, cell in enumerate(notebook.cells):
        marks = cell.metadata.get("nbgrader", {})
        if not (marks.get("grade") and marks.get("solution") and cell.cell_type == "markdown"):
            continue
        if cell.source.strip() != wanted[_mark(cell)].source.strip() and cell.source.strip():
            continue
        around = [*_unmarked(notebook.cells[index + 1 :]), *_unmarked(notebook.cells[:index][::-1])]
        own = [each.source for each in around if _is_written(each, wanted)]
        below = _below_the_question(notebook, release, _mark(cell))
        if own or below:
            cell.source = "\n\n".join(own) or below
            where = "in a cell of its own" if own else "below the question"
            notes.append(f"The answer to {_mark(cell)} stood {where}; it was taken from there.")
    return notes


def _below_the_question(notebook: NotebookNode, release: NotebookNode, name: str) -> str:
    """What was written into the cell of the question, behind it."""
    place = next(index for index, cell in enumerate(release.cells) if _mark(cell) == name)
    question = release.cells[place - 1].source.strip() if place else ""
    for cell in notebook.cells:
        if question and _mark(cell) is None and cell.source.strip().startswith(question):
            return cell.source.strip().removeprefix(question).strip()
    return ""


def _unmarked(cells: list[NotebookNode]) -> list[NotebookNode]:
    found = []
    for cell in cells:
        if _mark(cell) or cell.source.lstrip().startswith("## Task"):
            break
        found.append(cell)
    return found


def _is_written(cell: NotebookNode, wanted: dict[str, NotebookNode]) -> bool:
    if len(cell.source.strip()) < 20 or cell.get("id") in {each.get("id") for each in wanted.values()}:
        return False
    if cell.cell_type == "code":
        with contextlib.suppress(SyntaxError, ValueError):
            return all(map(_is_text, ast.parse(cell.source).body))  # of comments it has no body
    return True


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(getattr(line.value, "value", None), str)


def _cells(names: list[str]) -> str:
    return f"Cell {names[0]} had been" if len(names) == 1 else f"Cells {', '.join(names)} had been"


def _mark(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _restore_marks(notebook: NotebookNode, wanted: dict[str, NotebookNode]) -> list[str]:
    by_id = {cell.id: cell for cell in wanted.values()}
    by_text = {_key(cell): cell for cell in wanted.values()}
    present = {_mark(cell) for cell in notebook.cells}
    restored = 0
    for cell in notebook.cells:
        original = by_id.get(cell.get("id")) or by_text.get(cell.source.strip()) or by_text.get(_key(cell))
        if _mark(cell) is None and original is not None and _mark(original) not in present:
            cell.metadata.nbgrader = original.metadata.nbgrader.copy()
            restored += 1
        elif _mark(cell) not in wanted:
            cell.metadata.pop("nbgrader", None)
    return [f"The marks of {restored} cells were lost and put back."] if restored else []


def _key(cell: NotebookNode) -> str:
    """What a cell is known by without mark and id: what an answer defines, else its text."""
    begins = re.match(r"(def \w+\(|\w+ *=)", cell.source)
    locked = cell.metadata.get("nbgrader", {}).get("locked")
    return (
        begins[0].replace(" ", "")
        if begins and not locked and cell.cell_type == "code"
        else cell.source.strip()
    )


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
    other_kind = original.metadata.nbgrader.locked and cell.cell_type != original.cell_type
    other_text = original.metadata.nbgrader.locked and cell.source.strip() != original.source.strip()
    cell.cell_type = original.cell_type
    cell.metadata = nbformat.from_dict(original.metadata)
    for key in ("outputs", "execution_count"):
        cell.pop(key, None)
        if key in original:
            cell[key] = nbformat.from_dict(original[key])
    return bool(other_kind or other_text)


def _restore_missing(
    notebook: NotebookNode, release: NotebookNode, wanted: dict[str, NotebookNode]
) -> list[str]:
    missing, place = [], 0
    for name, original in wanted.items():
        places = [index for index, cell in enumerate(notebook.cells) if _mark(cell) == name]
        if places:
            place = places[0] + 1
            continue
        place = max(place, _behind_the_question(notebook, release, original))
        notebook.cells.insert(place, nbformat.from_dict(original))
        place += 1
        missing.append(name)
    return missing


def _behind_the_question(notebook: NotebookNode, release: NotebookNode, original: NotebookNode) -> int:
    """Where a missing cell belongs by the text that the release has before it; 0 where that is not there."""
    question = release.cells[release.cells.index(original) - 1]
    places = [
        index
        for index, cell in enumerate(notebook.cells, start=1)
        if _mark(cell) is None and cell.source.strip() == question.source.strip()
    ]
    return places[0] if places and not _mark(question) else 0
