"""Grade one submission with nbgrader, in a process of its own; tools/grade.py starts one for each.

    python tools/grade_one.py COURSE NAME WEEK
    python tools/grade_one.py COURSE NAME WEEK --feedback    # only the page, with points that a person gave since

The last line printed is {"notes": [...]} or {"error": "..."}.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from homework import HomeworkError, run, settings
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute
from submission import SubmissionError, mend, read_submission
from traitlets import Integer

STAGE = "grading/submitted"  # mended copies: nbgrader never works on what was handed in
RELEASE = "grading/release"
LARGEST_EXTRA_FILE = 20_000_000
STOPPED = "StoppedByGrader"


class CarefulExecute(Execute):
    """nbgrader's Execute, for notebooks that flood, hoard, never end or end their kernel.

    A cell that does so gets an error that says it in words, and the rest is graded: where the kernel was
    lost, all runs again without that cell.
    """

    seconds = Integer(240, help="for the whole notebook, repeats included").tag(config=True)
    characters = Integer(2_000_000, help="of output that one cell may make").tag(config=True)
    memory = Integer(4_000_000_000, help="bytes that the kernel may hold").tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        self.refused: dict[int, str] = {}
        self.ends_at = time.monotonic() + self.seconds
        while True:
            known = len(self.refused)
            try:
                return super().preprocess(nb, resources, km)
            except (DeadKernelError, CellTimeoutError):
                if len(self.refused) == known:
                    raise  # the kernel was lost between cells

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type != "code":
            return cell, resources
        left = self.ends_at - time.monotonic()
        reason = self.refused.get(index) or (
            "was not run: the time for the notebook was used up" if left < 0 else ""
        )
        if reason:
            cell.outputs = [_stopped(reason)]
            return cell, resources
        self.printed = 0
        try:
            with Watch(self.km.provisioner.pid, self.memory) as watch:
                return super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self.refused[index] = watch.verdict or "ended the kernel"
            raise
        except CellTimeoutError:
            self.refused[index] = "did not end and could not be interrupted"
            raise

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            already_over = self.printed > self.characters
            self.printed += sum(len(str(part)) for part in _texts(msg["content"]))
            if self.printed > self.characters:
                if not already_over:
                    cell.outputs.append(_stopped(f"made more than {self.characters:,} characters of output"))
                    self.interruption = asyncio.ensure_future(self.km.interrupt_kernel())
                return None
        return super().process_message(msg, cell, cell_index)


class Watch(threading.Thread):
    """Ends a process that holds more memory than it may; `verdict` then says so."""

    def __init__(self, pid: int, limit: int) -> None:
        super().__init__(daemon=True)
        self.process, self.limit, self.verdict, self.ended = psutil.Process(pid), limit, "", threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            try:
                if self.process.memory_info().rss > self.limit:
                    self.verdict = f"needed more than {self.limit / 1e9:.0f} GB of memory"
                    self.process.kill()
            except psutil.Error:
                return

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


def _texts(content: dict) -> list:
    return [content["text"]] if "text" in content else list(content["data"].values())


def _stopped(what: str) -> NotebookNode:
    sentence = f"This cell {what}."
    return nbformat.v4.new_output("error", ename=STOPPED, evalue=sentence, traceback=[sentence])


def stage(course: Path, name: str, week: str) -> list[str]:
    """Copy a submission, mended, to where nbgrader will read it; the notes, or SubmissionError."""
    folder, target = course / "submitted" / name / week, course / STAGE / name / week
    notebook, notes = read_submission(folder, week)
    notes += mend(notebook, nbformat.read(course / RELEASE / week / f"{week}.ipynb", as_version=4))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".ipynb" and path.stat().st_size < LARGEST_EXTRA_FILE:
            shutil.copyfile(path, target / path.name)
    nbformat.write(notebook, target / f"{week}.ipynb")
    return notes


def careful_api(course: Path) -> NbGraderAPI:
    """nbgrader for this course, reading the staged copies and executing with care."""
    config = settings(course)
    config.CourseDirectory.submitted_directory = STAGE
    steps = Autograde.autograde_preprocessors.make_dynamic_default()
    config.Autograde.autograde_preprocessors = [CarefulExecute if step is Execute else step for step in steps]
    return NbGraderAPI(config=config)


def grade(course: Path, name: str, week: str) -> list[str]:
    """Stage, autograde and write the feedback page of one submission; its notes, a sentence each."""
    notes = stage(course, name, week)
    api = careful_api(course)
    run(api, "autograde", week, name)
    run(api, "generate_feedback", week, name)
    return notes + cell_notes(
        nbformat.read(course / "autograded" / name / week / f"{week}.ipynb", as_version=4)
    )


def cell_notes(notebook: NotebookNode) -> list[str]:
    """A sentence for each cell that was stopped, ran out of time or has a syntax error."""
    notes = []
    for index, cell in enumerate(notebook.cells):
        first_line = next(iter(cell.source.strip().splitlines()), "")[:40]
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            if output.ename == STOPPED:
                what = re.sub(r"^This cell |\.$", "", output.evalue)
            elif output.ename == "CellTimeoutError":
                what = "did not end in time"
            elif output.ename in ("SyntaxError", "IndentationError", "TabError"):
                where = re.sub(r"\(\d+\.py, (line \d+)\)", r"(\1)", output.evalue)
                what = f"has a syntax error: {where}"
            else:
                continue
            notes.append(f"Cell {index} ({first_line}) {what}.")
    return notes


def main() -> int:
    course, name, week, *only_feedback = Path(sys.argv[1]), *sys.argv[2:]
    try:
        if only_feedback:
            run(careful_api(course), "generate_feedback", week, name)
        notes = [] if only_feedback else grade(course, name, week)
        print(json.dumps({"notes": notes}))
    except (SubmissionError, HomeworkError) as error:
        print(json.dumps({"error": str(error)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
