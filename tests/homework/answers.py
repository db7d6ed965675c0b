"""Run a week's tasks in this process, without kernels: the master's cells, with answers replaced."""

import contextlib
import io
import linecache
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat
from homework import COURSE, weeks

from course_utils.homework import WrongAnswer

RIGHT = Path(__file__).parent / "right"
WRONG = Path(__file__).parent / "wrong"
WEEKS = weeks()


@dataclass
class Task:
    """An answer cell and its test cells, of which the names start with the task's; points of each."""

    name: str
    answer: str
    stub: str
    needs_experiment: bool
    tests: dict[str, str] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)


def cells(week: str, step: str) -> list:
    return nbformat.read(COURSE / step / week / f"{week}.ipynb", as_version=4).cells


@cache
def tasks(week: str) -> dict[str, Task]:
    """Autograded tasks of a week; those after a locked cell other than the first need the experiment."""
    stubs = {marks(cell).get("grade_id"): cell.source for cell in cells(week, "release")}
    found, locked = {}, 0
    for cell in cells(week, "source"):
        name = marks(cell).get("grade_id", "")
        if cell.cell_type == "code" and marks(cell).get("solution"):
            found[name] = Task(name, cell.source, stubs[name], needs_experiment=locked > 1)
        elif marks(cell).get("grade") and not marks(cell)["solution"]:
            task = found[name.split("-")[0]]
            task.tests[name], task.points[name] = cell.source, marks(cell)["points"]
        elif marks(cell).get("locked"):
            locked += 1
    return found


def marks(cell) -> dict:
    return cell.metadata.get("nbgrader", {})


@cache
def prepared(week: str, experiment: bool) -> dict:
    """Names that are defined before a task: by the first locked cell, or by all cells but the tests."""
    names: dict = {"__name__": "homework"}
    for cell in cells(week, "source"):
        if cell.cell_type != "code" or marks(cell).get("grade"):
            continue
        execute(cell.source, names)
        if not experiment and marks(cell).get("locked"):
            return names
    return names


def execute(source: str, names: dict) -> None:
    file = f"<cell {hash(source)}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, file, "exec"), names)


def run(week: str, task: Task, answer: str) -> dict[str, str | None]:
    """Each test's message, None where it passed, with `answer` in the task's answer cell."""
    names = dict(prepared(week, task.needs_experiment))
    execute(answer, names)
    return {name: _message(source, names) for name, source in task.tests.items()}


def mistakes_of(week: str, task: Task) -> list[tuple[str, object, dict]]:
    """For each check in the cells that students see: cell, right value, mistakes."""
    shown = {marks(cell).get("grade_id"): cell.source for cell in cells(week, "release")}
    found, names = [], dict(prepared(week, task.needs_experiment))
    execute(task.answer, names)

    def noted(*_: object, expected: object, mistakes: dict | None = None, **__: object) -> None:
        found.append((cell, expected, mistakes or {}))

    def noted_entry(
        name: str, value: object, answer: str, question: str, mistakes: dict | None = None
    ) -> None:
        found.append((cell, value, mistakes or {}))

    names |= {"check": noted, "check_entry": noted_entry}
    for cell in task.tests:
        with contextlib.suppress(WrongAnswer):  # from what a cell asks of calls that are not made here
            execute(shown[cell], names)
    return found


def _message(source: str, names: dict) -> str | None:
    try:
        execute(source, names)
    except WrongAnswer as wrong:
        return str(wrong)
    return None
