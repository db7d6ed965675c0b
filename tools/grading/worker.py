"""Grades one submission with nbgrader; tools/grade.py has a process of its own do it for each."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import nbformat
from homework import LOCK_SECONDS, HomeworkError, run, settings
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets.config import Config

from grading import sandbox
from grading.find import master_of, masters
from grading.submission import KNOWN, SubmissionError, is_notebook, mend, read_submission, share, week_of

LARGEST_FILES = 50_000_000  # bytes of all files beside a notebook


@dataclass(frozen=True)
class Place:
    """A course, and where its grading is kept: `work`, a folder in it, has all that graders make."""

    course: Path
    work: str = "grading"
    own: bool = False  # a member's own folder: nothing of the organiser's is touched

    @property
    def feedback(self) -> Path:
        return self.course / ("mine/feedback" if self.own else "feedback")

    @property
    def autograded(self) -> Path:
        return self.course / (f"{self.work}/autograded" if self.own else "autograded")

    def config(self) -> Config:
        config = settings(self.course)
        config.CourseDirectory.submitted_directory = f"{self.work}/submitted"
        config.CourseDirectory.release_directory = f"{self.work}/release"
        if self.own:
            config.CourseDirectory.autograded_directory = f"{self.work}/autograded"
            database = self.course / self.work / "gradebook.db"
            database.parent.mkdir(parents=True, exist_ok=True)
            config.CourseDirectory.db_url = f"sqlite:///{database}?timeout={LOCK_SECONDS}"
        return config

    def gradebook(self) -> Gradebook:
        return Gradebook(self.config().CourseDirectory.db_url)

    def notebook(self, one: str, week: str) -> Path:
        """As it was graded last; nbgrader takes the old one away before it writes the new."""
        now = self.autograded / one / week / f"{week}.ipynb"
        return now if now.is_file() else self.kept(one, week)

    def kept(self, one: str, week: str) -> Path:
        """Where the last one lies while, or since, grading it anew did not come to its end."""
        return self.course / self.work / "kept" / one / f"{week}.ipynb"


def work(
    connection: Connection, place: Place, one: str, week: str, path: Path, threads: int, walls: sandbox.Walls
) -> None:
    """Grade and send {"notes": [...]}, {"error": ...} for what the member must mend, or {"failed": ...}."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who called
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    os.environ["MPLBACKEND"] = "agg"
    warnings.simplefilter("ignore")  # sqlalchemy about nbgrader
    try:
        result = {"notes": grade(place, one, week, path, threads, walls)}
    except SubmissionError as error:
        result = {"error": str(error)}
    except HomeworkError as error:
        result = {"failed": str(error)}
    except OSError as error:
        result = {"failed": f"{error.filename or 'A file'} could not be written or read: {error.strerror}."}
    connection.send(result)


def _end_with_the_caller() -> None:
    """However that one ends: its lock is free then, and another would work on the same files."""
    if caller := multiprocessing.parent_process():
        caller.join()
        sandbox.end(os.getpid())


def grade(place: Place, one: str, week: str, path: Path, threads: int, walls: sandbox.Walls) -> list[str]:
    """Stage, run and grade one submission; its notes, a sentence each."""
    import torch

    from grading.judge import Limits
    from grading.notebook import run_notebook

    torch.set_num_threads(threads)
    handed_in = place.course / place.work / "files" / one / week
    notes = stage(place, one, week, path, handed_in)
    known = master_of(place.course, week)
    config = place.config()
    options = config.get("Grading", {})
    limits = Limits(**{"cell": config.Execute.get("timeout", 40), **options})
    remembered = place.course / "grading" / "experiments"

    def judged(notebook: NotebookNode) -> None:
        notes.extend(run_notebook(notebook, known, handed_in, remembered, limits, threads, walls))

    _keep(place, one, week)
    read = _what_a_person_gave(place, one, week)
    config.Autograde.autograde_preprocessors = [
        _executes(judged) if step is Execute else step
        for step in Autograde.autograde_preprocessors.make_dynamic_default()
    ]
    run(NbGraderAPI(config=config), "autograde", week, one)
    notes += _give_again(place, one, week, read)
    place.kept(one, week).unlink(missing_ok=True)
    return notes


def _keep(place: Place, one: str, week: str) -> None:
    last, kept = place.notebook(one, week), place.kept(one, week)
    if last.is_file() and not kept.is_file():
        _write(kept, last.read_text(encoding="utf-8"))


def _executes(judged: Callable[[NotebookNode], None]) -> type:
    class Judged(NbGraderPreprocessor):
        """Stands where nbgrader would execute all cells in one kernel."""

        def preprocess(self, nb, resources):
            judged(nb)
            return nb, resources

    return Judged


def stage(place: Place, one: str, week: str, path: Path, handed_in: Path) -> list[str]:
    """Copy a submission, mended, to where nbgrader will read it; the notes, or SubmissionError."""
    target = place.course / place.work / "submitted" / one / week
    release = nbformat.read(place.course / place.work / "release" / week / f"{week}.ipynb", as_version=4)
    notebook, notes = read_submission(path, week)
    if share(notebook, release) < KNOWN:
        other = week_of(notebook, masters(place.course))
        if other not in (None, week):
            raise SubmissionError(f"This is the notebook of {other}, in the folder of {week}: move it there.")
    notes += mend(notebook, release)
    for folder in (target, handed_in):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    notes += _copy_files(path, handed_in) if path.is_dir() else []
    nbformat.write(notebook, target / f"{week}.ipynb")
    return notes


def _copy_files(folder: Path, target: Path) -> list[str]:
    """Copy what lies beside the notebook; sentences about what does not come along, or is called oddly."""
    notes, left = [], LARGEST_FILES
    for path in sorted(folder.rglob("*")):
        if is_notebook(path) or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() or (not path.is_file() and not path.is_dir()):
            notes.append(f"{path.name} is a link or no file; it was left aside.")
        elif path.is_file():
            left -= path.stat().st_size
            if left < 0:
                notes.append(f"{path.name} and what follows is more than {LARGEST_FILES // 1_000_000} MB.")
                break
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            if path.suffix == ".py" and path.stem in ("torch", "numpy", "course_utils", "matplotlib"):
                notes.append(f"{path.name} is called like a package; the package was used, not this file.")
    return notes


def _what_a_person_gave(place: Place, one: str, week: str) -> dict[str, tuple[float, str]]:
    """Points that a person gave to written answers, and the texts that got them."""
    path = place.kept(one, week)
    if not path.is_file():
        return {}
    texts = {_id(cell): cell.source for cell in nbformat.read(path, as_version=4).cells if _id(cell)}
    with place.gradebook() as book:
        try:
            grades = book.find_submission_notebook(week, week, one).grades
        except MissingEntry:
            return {}
        return {
            grade.name: (grade.manual_score, texts.get(grade.name, ""))
            for grade in grades
            if grade.manual_score is not None and not grade.needs_manual_grade
        }


def _give_again(place: Place, one: str, week: str, read: dict[str, tuple[float, str]]) -> list[str]:
    """Keep a person's points where the text is the one they were for, and ask again where it is not."""
    notebook = nbformat.read(place.notebook(one, week), as_version=4)
    texts = {_id(cell): cell.source for cell in notebook.cells if _id(cell)}
    notes = []
    with place.gradebook() as book:
        for grade in book.find_submission_notebook(week, week, one).grades:
            if grade.name not in read:
                continue
            points, text = read[grade.name]
            if texts.get(grade.name, "").strip() == text.strip():
                grade.needs_manual_grade = False
                continue
            grade.manual_score = None
            grade.needs_manual_grade = grade.auto_score is None
            again = "has to be read again" if grade.needs_manual_grade else "is empty now"
            notes.append(f"{grade.name} had {points:g} points for another text; it {again}.")
        book.db.commit()
    return notes


def _id(cell: NotebookNode) -> str | None:
    marks = cell.metadata.get("nbgrader", {})
    return marks.get("grade_id") if marks.get("grade") else None


def record(place: Place, one: str, week: str) -> dict:
    """What is known of a submission since it was graded last."""
    path = _record_path(place, one, week)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def remember(place: Place, one: str, week: str, known: dict) -> None:
    _write(_record_path(place, one, week), json.dumps(known))


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(text, encoding="utf-8")
    os.replace(half, path)


def _record_path(place: Place, one: str, week: str) -> Path:
    return place.course / place.work / "done" / one / f"{week}.json"
