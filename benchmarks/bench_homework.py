"""Grading: seconds of a week's notebook with all answers in it, and the pace with forty submissions of mixed weeks.

Goals: 60 s for a notebook; 4 s for each of forty on two processors, every one behind walls of its own. A wrong
answer in each but the first of a week, out of tests/homework/wrong, so that experiments differ as they do in a group.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_table import ROOT, attempt, row

sys.path += [str(ROOT / "tools"), str(ROOT / "tests" / "homework")]

from answers import WEEKS, WRONG
from grade import grade_all
from test_weeks import course_of, filled_in
from tiny import hand_in_week

NOTEBOOK_SECONDS, SUBMISSION_SECONDS, SUBMISSIONS = 60, 4, 40


def full(week: str) -> dict:
    """The master's answers of one week."""
    with tempfile.TemporaryDirectory() as folder:
        course = course_of(week, Path(folder))
        hand_in_week(course, "full", week, filled_in(week))
        start = time.perf_counter()
        grade_all(course)
        seconds = time.perf_counter() - start
    return row(f"Homework {week}, all answers", seconds, unit="s", goal=f"ours <= {NOTEBOOK_SECONDS}")


def hand_in(course: Path) -> None:
    """Of each week in turn: all answers right, then one of them wrong."""
    wrong = {week: sorted(WRONG.glob(f"{week.split('_')[0]}/*/*.py"))[::7] for week in WEEKS}
    for week in WEEKS:
        course_of(week, course)
    for number in range(SUBMISSIONS):
        week, turn = WEEKS[number % len(WEEKS)], number // len(WEEKS)
        path = wrong[week][turn - 1]
        answers = {path.parent.name: path.read_text()} if turn else {}
        hand_in_week(course, f"member {number:02d}", week, filled_in(week, **answers))


def pace() -> dict:
    """Seconds for each of forty submissions that are graded in one go."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        hand_in(course)
        start = time.perf_counter()
        graded = grade_all(course)
        seconds = (time.perf_counter() - start) / len(graded)
    assert all(one.points for one in graded)
    what = f"Grading: seconds for each of {len(graded)} submissions of {len(WEEKS)} weeks"
    return row(what, seconds, unit="s", goal=f"ours <= {SUBMISSION_SECONDS:g}")


def rows(weeks: tuple[str, ...] = tuple(WEEKS)) -> Iterator[dict]:
    """A row for each week, and the pace."""
    for week in weeks:
        yield from attempt(f"homework: {week}", lambda week=week: full(week))
    yield from attempt("homework: forty submissions", pace)
