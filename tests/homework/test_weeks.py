"""Real weeks through real nbgrader: full points, none, many at a time."""

import shutil
import time
from datetime import datetime

import nbformat
import pytest
from answers import WEEKS, WRONG, cells, marks, tasks
from grade import grade_all
from homework import COURSE
from tiny import at, hand_in_week

pytestmark = pytest.mark.slow
SECONDS_PER_NOTEBOOK = 60
SECONDS_PER_SUBMISSION = 300 / 20


def course_of(week, folder):
    shutil.copytree(COURSE / "source" / week, folder / "source" / week)
    shutil.copyfile(COURSE / "nbgrader_config.py", folder / "nbgrader_config.py")
    return folder


def filled_in(week, **answers):
    """The release as a member hands it in: the master's answers, some replaced."""
    notebook = nbformat.read(COURSE / "release" / week / f"{week}.ipynb", as_version=4)
    for cell in cells(week, "source"):
        if marks(cell).get("solution"):
            at(notebook, cell.id).source = answers.get(cell.id, cell.source)
    return notebook


def seconds_of(path):
    """From the first cell's start to the last cell's end, as nbgrader stored them."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if "execution" in cell.metadata]
    first, last = cells[0].metadata.execution, cells[-1].metadata.execution
    moments = first["iopub.execute_input"], last["iopub.status.idle"]
    start, end = (datetime.fromisoformat(moment) for moment in moments)
    return (end - start).total_seconds()


def points_of(week, manual):
    graded = [marks(cell) for cell in cells(week, "source") if marks(cell).get("grade")]
    return sum(each["points"] for each in graded if each["solution"] is manual)


@pytest.mark.parametrize("week", WEEKS)
def test_full_and_untouched(week, tmp_path):
    course = course_of(week, tmp_path)
    hand_in_week(course, "full", week, filled_in(week))
    untouched = nbformat.read(COURSE / "release" / week / f"{week}.ipynb", as_version=4)
    hand_in_week(course, "untouched", week, untouched)
    full, nothing = grade_all(course)
    assert (full.points, full.of) == (points_of(week, False), points_of(week, False) + points_of(week, True))
    assert (full.to_read, full.notes) == (1, [])
    assert (nothing.points, nothing.to_read, nothing.notes) == (0, 0, [])
    assert 0 < seconds_of(course / "autograded" / "full" / week / f"{week}.ipynb") < SECONDS_PER_NOTEBOOK


@pytest.mark.alone
def test_eight_submissions_are_graded_at_the_pace_of_twenty_in_five_minutes(tmp_path):
    """Six with one wrong answer each, one that never ends and one that ends the kernel."""
    week = WEEKS[0]
    course = course_of(week, tmp_path)
    wrong = sorted(WRONG.glob(f"{week.split('_')[0]}/*/*.py"))[::8][:6]
    for number, path in enumerate(wrong):
        notebook = filled_in(week, **{path.parent.name: path.read_text()})
        hand_in_week(course, f"member {number}", week, notebook)
    name, task = next(iter(tasks(week).items()))
    for number, line in enumerate(["while True: pass", "import os; os._exit(1)"]):
        hand_in_week(course, f"trouble {number}", week, filled_in(week, **{name: f"{task.answer}\n{line}"}))
    started = time.perf_counter()
    outcomes = grade_all(course)
    seconds = time.perf_counter() - started
    print(f"{len(outcomes)} submissions of {week} in {seconds:.0f} s")
    assert len(outcomes) == 8
    full = points_of(week, False)
    assert all(0 < one.points < full for one in outcomes if one.name.startswith("member"))
    assert all(one.points > 0 and one.notes for one in outcomes if one.name.startswith("trouble"))
    assert seconds < len(outcomes) * SECONDS_PER_SUBMISSION
