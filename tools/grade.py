"""Grade what members handed in: notebooks/homework/submitted/NAME/WEEK/.

    python tools/grade.py                # what is new or changed since the last time; feedback pages for all
    python tools/grade.py --all          # everything once more
    python tools/grade.py --jobs 1       # one at a time; without it as many as there are processors

Writes feedback/NAME/WEEK/ and grades.csv, and prints a table. What was handed in is only read.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from homework import COURSE, HomeworkError, generate, settings, weeks
from nbgrader.api import Gradebook, MissingEntry

TOOLS = Path(__file__).resolve().parent
SECONDS = 420  # for one submission; its cells have less, see tools/grade_one.py
COLUMNS = ("name", "week", "points", "of", "to_read", "notes")


@dataclass
class Outcome:
    """What became of one submission: `points` is None where it was not graded, `to_read` counts answers."""

    name: str
    week: str
    points: float | None = None
    of: float | None = None
    to_read: int = 0
    notes: list[str] = field(default_factory=list)


def find(course: Path) -> Iterator[tuple[Outcome, bool]]:
    """Every submission, and whether it can be graded; where it cannot, its notes say why."""
    known = weeks(course)
    for member in sorted(path for path in (course / "submitted").glob("[!.]*") if path.is_dir()):
        for path in sorted(member.glob("[!.]*")):
            outcome = Outcome(member.name, path.name)
            if path.is_dir() and path.name in known:
                yield outcome, True
            else:
                outcome.notes.append(f"{path.name} is no folder of a week; these are: {', '.join(known)}.")
                yield outcome, False


def fingerprint(course: Path, one: Outcome) -> str:
    """Changes with what was handed in and with the week's master."""
    total = hashlib.sha256((course / "source" / one.week / f"{one.week}.ipynb").read_bytes())
    for path in sorted((course / "submitted" / one.name / one.week).rglob("*")):
        if path.is_file():
            total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def grade(course: Path, one: Outcome, again: bool, threads: int) -> Outcome:
    """Grade one submission in its own process, or take over what is known where nothing has changed."""
    record = course / "grading" / "done" / one.name / f"{one.week}.json"
    state = fingerprint(course, one)
    known = json.loads(record.read_text()) if record.is_file() else {}
    if again or known.get("fingerprint") != state:
        known = {"fingerprint": state, **_in_own_process(course, one, threads)}
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(known))
    elif "error" not in known:  # a person may have given points since
        known["error"] = _in_own_process(course, one, threads, "--feedback").get("error")
    if known.get("error"):
        one.notes.append(known["error"])
        _write_apology(course, one)
        return one
    one.notes += known["notes"]
    _read_points(course, one)
    return one


def _in_own_process(course: Path, one: Outcome, threads: int, *options: str) -> dict:
    command = [sys.executable, str(TOOLS / "grade_one.py"), str(course), one.name, one.week, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUTF8": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    ) as process:
        try:
            printed, complaint = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            _end(process.pid)
            return {"error": f"Grading did not end within {SECONDS // 60} minutes and was stopped."}
    try:
        return json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError):
        reason = (complaint.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return {"error": f"The grader stopped: {reason[:200]}"}


def _end(pid: int) -> None:
    parent = psutil.Process(pid)
    for process in [*parent.children(recursive=True), parent]:
        process.kill()


def _read_points(course: Path, one: Outcome) -> None:
    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        try:
            submission = book.find_submission(one.week, one.name)
        except MissingEntry:
            one.notes.append("It is not in the gradebook: run with --all.")
            return
        one.points, one.of = submission.score, submission.max_score
        grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
        one.to_read = sum(grade.needs_manual_grade for grade in grades)


def _write_apology(course: Path, one: Outcome) -> None:
    path = course / "feedback" / one.name / one.week / f"{one.week}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"<p>{html.escape(note)}</p>" for note in one.notes)
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><h1>{one.week}: not graded</h1>{lines}', encoding="utf-8"
    )


def write_csv(course: Path, outcomes: list[Outcome]) -> Path:
    """One row a submission, for spreadsheets (with a mark by which Excel knows UTF-8)."""
    path = course / "grades.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in outcomes:
            points = [f"{value:g}" if value is not None else "" for value in (one.points, one.of)]
            writer.writerow([one.name, one.week, *points, one.to_read, " ".join(one.notes)])
    return path


def table(outcomes: list[Outcome], known: list[str]) -> str:
    """Names by weeks as text: points, `+N` for answers that a person must read, `!` where there is a note."""
    rows = [["", *(week.split("_")[0] for week in known)]]
    for name in dict.fromkeys(one.name for one in outcomes):
        mine = {one.week: one for one in outcomes if one.name == name}
        rows.append([name, *(_cell(mine.get(week)) for week in known)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    notes = [f"{one.name}, {one.week}: {note}" for one in outcomes for note in one.notes]
    to_read = [f"{one.name}, {one.week}: {one.to_read} to read" for one in outcomes if one.to_read]
    legend = "points/of;  +N: answers that a person must read;  !: see the notes;  -: not graded"
    parts = [lines, [legend], ["Notes", *notes] if notes else [], ["To read", *to_read] if to_read else []]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _cell(one: Outcome | None) -> str:
    if one is None:
        return ""
    points = "-" if one.points is None else f"{one.points:g}/{one.of:g}"
    return points + (f" +{one.to_read}" if one.to_read else "") + (" !" if one.notes else "")


def grade_all(course: Path = COURSE, again: bool = False, jobs: int | None = None) -> list[Outcome]:
    """Grade every submission, several at a time; raises HomeworkError where a week's master is wrong."""
    found = list(find(course))
    for week in sorted({one.week for one, gradable in found if gradable}):
        generate(week, course, "grading/release")
    jobs = jobs or os.cpu_count() or 1
    threads = max(1, (os.cpu_count() or 1) // jobs)
    todo = [one for one, gradable in found if gradable]
    with ThreadPoolExecutor(jobs) as pool:
        for count, one in enumerate(pool.map(lambda one: grade(course, one, again, threads), todo), start=1):
            print(f"{count}/{len(todo)}  {one.name}  {one.week}  {_cell(one)}", flush=True)
    return [one for one, _ in found]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="also what has not changed")
    parser.add_argument("--jobs", type=int, help="submissions at a time")
    parser.add_argument("--course", type=Path, default=COURSE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        outcomes = grade_all(options.course.resolve(), options.all, options.jobs)
    except HomeworkError as error:
        print(error, file=sys.stderr)
        return 1
    if not outcomes:
        print(f"Nothing was handed in: {options.course / 'submitted'} has no NAME/WEEK folders.")
        return 0
    path = write_csv(options.course, outcomes)
    print(f"\n{table(outcomes, weeks(options.course))}\n\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
