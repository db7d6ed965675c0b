"""Everything that lies below `submitted/`: hand-ins that can be graded, and a sentence for each other thing."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from homework import weeks
from nbformat import NotebookNode

from grading.submission import (
    PACKED,
    SYSTEMS_OWN,
    SubmissionError,
    is_notebook,
    notebooks,
    read_notebook,
    week_of,
)


@dataclass
class Outcome:
    """What became of one submission: `points` is None where it was not graded, `to_read` counts answers.

    `path` is the folder or the notebook that was handed in, None where there is nothing to grade.
    """

    name: str
    week: str
    path: Path | None = None
    points: float | None = None
    of: float | None = None
    to_read: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return safe_id(self.name)


def safe_id(name: str) -> str:
    """A folder's name that no program takes for a pattern, an option or a path: the name, where it is one."""
    if re.fullmatch(r"\w(?:[\w .-]{0,60}\w)?", name):
        return name
    plain = re.sub(r"[^\w.-]+", "_", name).strip("_.-")[:40]
    return f"{plain}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def masters(course: Path) -> dict[str, NotebookNode]:
    """The master of each week."""
    return {week: master_of(course, week) for week in weeks(course)}


def master_of(course: Path, week: str) -> NotebookNode:
    return nbformat.read(course / "source" / week / f"{week}.ipynb", as_version=4)


def imported(notebook: NotebookNode) -> set[str]:
    """Modules that its cells import."""
    lines = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return set(re.findall(r"^(?:from|import) ([\w.]+)", lines, re.MULTILINE))


def find(course: Path, submitted: Path | None = None) -> list[Outcome]:
    """Every hand-in and every other file below `submitted`, in order of names."""
    known = masters(course)
    submitted = submitted or course / "submitted"
    members: dict[str, list[Path]] = {}
    found = []
    for path in _inside(submitted):
        if path.is_dir() and not path.is_symlink():
            members.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        else:
            found.append(Outcome(path.name, "", notes=[_stray(path, known)]))
    for name, folders in members.items():
        if name in known:
            found += [Outcome(path.name, "", notes=[_swapped(path)]) for path in _inside(submitted / name)]
            continue
        found += _of_member(name, [path for folder in folders for path in _inside(folder)], known)
        if len(folders) > 1:
            found[-1].notes.append(
                "Two folders have this name, written in different Unicode; they count as one."
            )
    return sorted(found, key=lambda one: (one.name, one.week))


def find_own(course: Path, mine: Path) -> list[Outcome]:
    """A member's own notebooks in `mine`, whatever their folders: of each week the one changed last."""
    found = _of_member("me", [path for path in _inside(mine) if path.name != "feedback"], masters(course))
    for one in found:
        one.notes = [note for note in one.notes if "by its cells" not in note]  # any place is right here
    return [one for one in found if one.path or one.week]


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not SYSTEMS_OWN.fullmatch(path.name))


def _stray(path: Path, known: dict[str, NotebookNode]) -> str:
    if path.is_symlink():
        return f"{path.name} is a link; links are not followed."
    if path.suffix.lower() in PACKED:
        return f"{path.name} was not opened: unpack it into NAME/WEEK/."
    week = _recognised(path, known)
    return f"{path.name} belongs to nobody here: put it into NAME/{week or 'WEEK'}/."


def _swapped(path: Path) -> str:
    week, name = path.parent.name, path.stem if path.is_file() else path.name
    return f"It lies in {week}/{path.name}: put it into {name}/{week}/."


def _recognised(path: Path, known: dict[str, NotebookNode]) -> str | None:
    try:
        return week_of(read_notebook(path)[0], known)
    except SubmissionError:
        return None


def _of_member(name: str, paths: list[Path], known: dict[str, NotebookNode]) -> list[Outcome]:
    candidates: dict[str, list[tuple[Path, str, str]]] = {}
    others = []
    for top in paths:
        for path, week, note in _weeks_of(top, known):
            label = str(path.relative_to(top.parent))
            if week:
                candidates.setdefault(week, []).append((path, note, label))
            else:
                others.append(Outcome(name, label, notes=[note]))
    found = []
    for week, several in candidates.items():
        several.sort(key=lambda each: (each[0].name == week and each[0].is_dir(), each[0].stat().st_mtime))
        path, note, _ = several.pop()
        notes = [note] * bool(note) + [f"{label} was left aside." for *_, label in several]
        found.append(Outcome(name, week, path, notes=notes))
    return (found + others) or [Outcome(name, "", notes=["The folder is empty."])]


def _weeks_of(path: Path, known: dict[str, NotebookNode]) -> Iterator[tuple[Path, str | None, str]]:
    """The weeks that something in a member's folder belongs to, where each lies, and what is odd about it."""
    if path.is_symlink():
        yield path, None, f"{path.name} is a link; links are not followed."
    elif path.is_dir() and path.name in known:
        yield path, path.name, ""
    elif path.suffix.lower() in PACKED:
        yield path, None, f"{path.name} was not opened: unpack it into a folder of a week; {_listed(known)}."
    elif path.is_file() and is_notebook(path) and (week := _recognised(path, known)):
        yield path, week, f"{path.name} lay in no folder of a week; by its cells this is {week}."
    else:
        yield from _deeper(path, known)


def _deeper(path: Path, known: dict[str, NotebookNode]) -> Iterator[tuple[Path, str | None, str]]:
    inside = notebooks(path) if path.is_dir() else []
    weeks_inside = {each: _recognised(each, known) for each in inside}
    if not any(weeks_inside.values()):
        yield path, None, f"{path.name} is no folder of a week; {_listed(known)}."
        return
    for each, week in weeks_inside.items():
        if week is None:
            yield each, None, f"{each.name} is no notebook of a week."
        else:
            alone = sum(other.parent == each.parent for other in inside) == 1
            note = f"The folder is called {path.name}; by its cells this is {week}."
            yield each.parent if alone else each, week, note


def _listed(known: dict[str, NotebookNode]) -> str:
    return f"these are: {', '.join(known)}"
