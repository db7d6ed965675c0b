"""Grading: seconds of a week's notebook with all answers in it, and the pace with six wrong answers and two bad ends.

Goals: 60 s for a notebook; twenty submissions in five minutes. The submissions
are those of tests/homework/test_weeks.py, which look at the points.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_table import ROOT, attempt, row

sys.path += [str(ROOT / "tools"), str(ROOT / "tests" / "homework")]

from answers import WEEKS
from grade import grade_all
from test_weeks import course_of, filled_in, hand_in_eight
from tiny import hand_in_week

NOTEBOOK_SECONDS, SUBMISSION_SECONDS = 60, 300 / 20


def full(week: str) -> dict:
    """The master's answers of one week."""
    with tempfile.TemporaryDirectory() as folder:
        course = course_of(week, Path(folder))
        hand_in_week(course, "full", week, filled_in(week))
        start = time.perf_counter()
        grade_all(course)
        seconds = time.perf_counter() - start
    return row(f"Homework {week}, all answers", seconds, unit="s", goal=f"ours <= {NOTEBOOK_SECONDS}")


def pace(week: str) -> dict:
    """Seconds for each of eight submissions that are graded in one go."""
    with tempfile.TemporaryDirectory() as folder:
        course = course_of(week, Path(folder))
        hand_in_eight(week, course)
        start = time.perf_counter()
        graded = len(grade_all(course))
        seconds = (time.perf_counter() - start) / graded
    what = f"Grading: seconds for each of {graded} submissions, two with a bad end"
    return row(what, seconds, unit="s", goal=f"ours <= {SUBMISSION_SECONDS:g}")


def rows(weeks: tuple[str, ...] = tuple(WEEKS)) -> Iterator[dict]:
    """A row for each week, and the pace with the first."""
    for week in weeks:
        yield from attempt(f"homework: {week}", lambda week=week: full(week))
    yield from attempt("homework: eight submissions", lambda: pace(WEEKS[0]))
