"""Grade what members handed in: notebooks/homework/submitted/NAME/WEEK/.

    python tools/grade.py                # what is new or changed since the last time; pages for all
    python tools/grade.py --all          # everything once more
    python tools/grade.py --me           # your own notebooks, notebooks/homework/mine/
    python tools/grade.py --jobs 1       # one at a time; without it as many as there are processors
    python tools/grade.py --trust        # with the rights of your own programs, where nothing else is to be had

Writes feedback/NAME/WEEK/ and grades.csv, and prints a table. What was handed in is only read.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from grading import sandbox, worker
from grading.container import Container
from grading.find import Outcome, find, find_own, imported, master_of, masters
from grading.pages import write_page
from grading.sheets import take_over, write_sheets
from grading.table import line, reached, table, write_csv
from grading.worker import Place, record, remember
from homework import COURSE, HomeworkError, of_gradebook, run, weeks
from nbgrader.api import MissingEntry
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import OperationalError

TOOLS = Path(__file__).resolve().parent
SECONDS = 600  # for one submission, experiments included; its cells have less, see grading/judge.py
VERSION = "2"  # of what a grade depends on beside the submission and its week


def fingerprint(place: Place, one: Outcome) -> str:
    """Changes with what was handed in and with the week's master."""
    master = place.course / "source" / one.week / f"{one.week}.ipynb"
    total = hashlib.sha256(VERSION.encode() + master.read_bytes())
    files = [one.path] if one.path.is_file() else sorted(one.path.rglob("*"))
    for path in files:
        if path.is_file() and not path.is_symlink():
            total.update(str(path.relative_to(one.path.parent)).encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def grade(place: Place, one: Outcome, again: bool, threads: int, walls: sandbox.Walls) -> Outcome:
    """Grade one submission in its own process, or take over what is known where nothing has changed."""
    known, state = record(place, one.id, one.week), fingerprint(place, one)
    result = known
    if again or known.get("fingerprint") != state:
        remember(place, one.id, one.week, {**known, "fingerprint": None})  # an interrupted one is done again
        result = _in_own_process(place, one, threads, walls)
        if "failed" not in result:
            result = {"fingerprint": state, "graded": known.get("graded"), **result}
            if "notes" in result:
                now = datetime.now().strftime("%Y-%m-%d %H:%M")
                result["graded"] = {"notes": result["notes"], "when": now}
            remember(place, one.id, one.week, result)
    problem, earlier = (
        result.get("failed") or result.get("error"),
        (result.get("graded") or known.get("graded")),
    )
    if problem:
        one.notes.append(problem)
        if earlier:
            one.notes.append(f"Shown is what was handed in before, graded on {earlier['when']}.")
    if earlier:
        one.notes += earlier["notes"]
        _read_points(place, one)
        if not place.own and (problem := take_over(place, one)):
            one.notes.append(problem)
        _read_points(place, one)
    return one


def _in_own_process(place: Place, one: Outcome, threads: int, walls: sandbox.Walls) -> dict:
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    reads, writes = context.Pipe(duplex=False)
    process = context.Process(
        target=worker.work, args=(writes, place, one.id, one.week, one.path, threads, walls), daemon=True
    )
    process.start()
    writes.close()
    try:
        if not reads.poll(SECONDS):
            return {
                "failed": f"Grading did not end within {SECONDS // 60} minutes and was stopped; call again."
            }
        return reads.recv()
    except EOFError:
        process.join()
        return {"failed": f"The grader itself stopped (exit code {process.exitcode}); call again."}
    finally:
        if process.is_alive():
            process.join(5)
        sandbox.end(process.pid)


def _prepare(place: Place, todo: list[Outcome]) -> None:
    """Let processes for submissions begin with everything imported."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TOOLS), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "forkserver" in multiprocessing.get_all_start_methods():
        modules = ["grading.apart", "grading.ahead", "grading.worker", "grading.notebook"]
        for week in {one.week for one in todo}:
            modules += sorted(imported(master_of(place.course, week)))
        multiprocessing.get_context("forkserver").set_forkserver_preload(modules)


def _read_points(place: Place, one: Outcome) -> None:
    with place.gradebook() as book:
        try:
            submission = book.find_submission(one.week, one.id)
        except MissingEntry:
            one.notes.append("It is not in the gradebook: call make grade with ALL=1.")
            return
        one.points, one.of = submission.score, submission.max_score
        grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
        one.to_read = sum(grade.needs_manual_grade for grade in grades)


def _enter_members(place: Place, outcomes: list[Outcome]) -> None:
    """Put members into the gradebook before several weeks of one are graded at once; names for nbgrader's form."""
    with place.gradebook() as book:
        for name, one in {one.name: one.id for one in outcomes}.items():
            book.update_or_create_student(one, first_name="", last_name=name)  # the form shows both or none


def grade_all(
    course: Path = COURSE, again: bool = False, jobs: int | None = None, me: bool = False, trust: bool = False
) -> list[Outcome]:
    """Grade every submission, several at a time, and write the pages.

    Raises HomeworkError where a week's master is wrong, another `make grade` runs, or submissions cannot be
    kept apart and `trust` is not given.
    """
    walls = sandbox.choose(trust)
    place = Place(course, "grading/mine", own=True) if me else Place(course)
    found = find_own(course, course / "mine") if me else find(course)
    for folder in (place.work, "grading/exchange"):
        (course / folder).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(course / place.work / "lock", timeout=0):
            return _grade_found(place, found, again, jobs or os.cpu_count() or 1, walls)
    except OperationalError as error:
        raise HomeworkError(of_gradebook(str(error)) or f"The gradebook: {error.orig}.") from error
    except Timeout:
        raise HomeworkError("Another make grade is at work here: wait for it, or end it.") from None
    finally:
        if isinstance(walls, Container):
            walls.remove()


def _grade_found(
    place: Place, found: list[Outcome], again: bool, jobs: int, walls: sandbox.Walls
) -> list[Outcome]:
    todo = [one for one in found if one.path]
    for week in sorted({one.week for one in todo}):
        run(NbGraderAPI(config=place.config()), "generate_assignment", week)
    _enter_members(place, todo)
    _prepare(place, todo)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(grade, place, one, again, threads, walls) for one in todo]
        try:
            for count, future in enumerate(futures, start=1):
                one = future.result()
                print(f"{count}/{len(todo)}  {one.name}  {one.week}  {reached(one)}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):  # one may only be about to begin
                for process in multiprocessing.active_children():
                    sandbox.end(process.pid)
                time.sleep(0.1)
            raise
    if not place.own:
        write_sheets(place, found, masters(place.course))
    for one in found:
        if one.week in weeks(place.course):
            write_page(place, one)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="also what has not changed")
    parser.add_argument("--me", action="store_true", help="your own notebooks in mine/")
    parser.add_argument("--jobs", type=int, help="submissions at a time")
    parser.add_argument("--trust", action="store_true", help="run submissions without walls around them")
    parser.add_argument("--course", type=Path, default=COURSE, help=argparse.SUPPRESS)
    options = parser.parse_args()
    course, started = options.course.resolve(), time.monotonic()
    try:
        outcomes = grade_all(course, options.all, options.jobs, options.me, options.trust)
        return _report(course, outcomes, options.me, time.monotonic() - started)
    except HomeworkError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'A file'} could not be written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What was graded is kept; call make grade again for the rest.", file=sys.stderr)
        return 130


def _report(course: Path, outcomes: list[Outcome], me: bool, seconds: float) -> int:
    folder = course / ("mine" if me else "submitted")
    if not outcomes:
        print(f"Nothing is there: {folder} has no notebooks of the weeks.")
    elif me:
        notes = [f"{one.week}: {note}" for one in outcomes for note in one.notes]
        print("\n".join([line(outcomes, weeks(course)), *notes, f"Pages: {folder / 'feedback'}"]))
    else:
        write_csv(course / "grades.csv", outcomes)
        print(f"\n{table(outcomes, weeks(course))}\n\n{course / 'grades.csv'} ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
