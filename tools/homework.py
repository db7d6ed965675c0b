"""Make what students get: `release/` from the masters in `source/`, both under notebooks/homework.

python tools/homework.py             # every week
python tools/homework.py week2       # those whose names start so
"""

from __future__ import annotations

import argparse
import ast
import base64
import functools
import json
import logging
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import nbgrader.api
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config, PyFileConfigLoader

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "notebooks" / "homework"
ANSWERS = ROOT / "data" / "homework_answers.json"  # of course_utils.homework, which takes PyTorch along
logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # nbgrader logs there what it also raises
# nbgrader opens the gradebook ten times for a submission; so its statements are compiled once.
nbgrader.api.create_engine = functools.cache(nbgrader.api.create_engine)
LOCK_SECONDS = 60  # that one program waits for another which writes into the gradebook


class HomeworkError(Exception):
    """One sentence that says what could not be done, and why."""


def weeks(course: Path = COURSE) -> list[str]:
    """Names of the weeks that have a master, `source/NAME/NAME.ipynb`, in order."""
    return sorted(
        path.parent.name for path in course.glob("source/*/*.ipynb") if path.stem == path.parent.name
    )


def settings(course: Path = COURSE) -> Config:
    """The course's nbgrader settings, for the folder `course`."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = f"sqlite:///{course / 'gradebook.db'}?timeout={LOCK_SECONDS}"
    return config


def run(api: NbGraderAPI, step: str, *arguments: str) -> None:
    """Call a step of nbgrader; raises HomeworkError with the line of its report that says why it failed."""
    with _programs_beside_python():
        result = getattr(api, step)(*arguments)
    if not result["success"]:
        report = result.get("error", "").strip().splitlines() or ["no reason given"]
        if report[-1].startswith("KeyboardInterrupt"):
            raise KeyboardInterrupt
        raise HomeworkError(
            of_gradebook(str(result))
            or f"nbgrader's {step} failed for {' '.join(arguments)}: {_reason(result, report)}"
        )


def of_gradebook(report: str) -> str:
    """A sentence where a report says that the gradebook could not be used; else empty."""
    if "database is locked" in report:
        return "The gradebook is in use by another program, perhaps an open formgrader: close it, call again."
    if "disk is full" in report or "No space left" in report:
        return "The disk is full: make room, call again."
    return ""


@contextmanager
def _programs_beside_python() -> Iterator[None]:
    """nbgrader starts the program `alembic`, which is not on the PATH of an environment that is not activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _reason(result: dict, report: list[str]) -> str:
    errors = [line for line in result.get("log", "").splitlines() if "Error: " in line]
    return (errors or report)[-1].strip()


def generate(week: str, course: Path = COURSE, release: str = "release") -> Path:
    """Write a week's student version into `course/release/week`, note its tests in the gradebook; its path.

    Raises HomeworkError where nbgrader refuses: a master that it finds wrong, or cells added or removed
    after the first submissions were graded.
    """
    config = settings(course)
    config.CourseDirectory.release_directory = release
    run(NbGraderAPI(config=config), "generate_assignment", week)
    return course / release / week / f"{week}.ipynb"


def write_answers(course: Path = COURSE, path: Path = ANSWERS) -> None:
    """Write hint and solution of each function of the masters, packed so that nobody reads them by accident."""
    answers = {}
    for week in weeks(course):
        for cell in nbformat.read(course / "source" / week / f"{week}.ipynb", as_version=4).cells:
            if cell.metadata.get("nbgrader", {}).get("solution") and cell.source.startswith("def "):
                lines = [line for line in cell.source.splitlines() if not line.strip().startswith("### ")]
                solution = "\n".join(lines)
                answers[cell.metadata.nbgrader.grade_id] = {
                    "hint": _packed(skeleton(solution)),
                    "solution": _packed(solution),
                }
    path.write_text(json.dumps(answers, indent=0) + "\n", encoding="utf-8")


def skeleton(solution: str) -> str:
    """A function's loops, conditions and names, with `...` for what is computed, and what it calls for that."""
    tree = ast.parse(solution)
    calls = {
        ast.unparse(node.func).split(".")[-1]: None for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Return) and node.value:
            node.value = ast.Constant(...)
    return f"{ast.unparse(tree)}\n# It calls: {', '.join(calls)}" if calls else ast.unparse(tree)


def _packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def points(notebook: Path) -> int:
    """Points that can be had in a notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in cells)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefixes", nargs="*", help="of the weeks' names; without any: all")
    prefixes = tuple(parser.parse_args().prefixes)
    try:
        for week in weeks():
            if not prefixes or week.startswith(prefixes):
                path = generate(week)
                print(f"{path.relative_to(ROOT)}  {points(path)} points")
        write_answers()
    except HomeworkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
