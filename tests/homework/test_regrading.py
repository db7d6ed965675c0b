"""What was graded, read by a person or interrupted is neither lost nor done twice."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from subprocess import PIPE

import grade
import homework
import nbformat
import psutil
import pytest
import tiny
from filelock import FileLock
from grade import grade_all
from grading import worker
from grading.worker import Place, record, remember
from homework import HomeworkError, settings
from nbgrader.api import Gradebook

GRADE = grade.__file__
INTERRUPTED = "Interrupted. What was graded is kept; call make grade again for the rest."
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Graded once; each test has a member of its own, and leaves the others as they are."""
    course = tmp_path_factory.mktemp("regrading") / "course"
    tiny.make_course(course)
    for member in ("Kim", "Lee", "Min"):
        tiny.hand_in(course, member, tiny.answered(course))
    grade_all(course, trust=tiny.TRUST)
    return course


def graded(course, **options):
    return {one.name: one for one in grade_all(course, trust=tiny.TRUST, **options)}


def hand_in_again(course, member, content):
    shutil.rmtree(course / "submitted" / member)
    tiny.hand_in(course, member, content)


def give_points(course, member, points):
    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        grade = book.find_grade("essay", tiny.WEEK, tiny.WEEK, member)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.db.commit()


def test_points_by_hand_stay_with_their_text(course):
    assert graded(course)["Kim"].to_read == 1
    give_points(course, "Kim", 1)
    hand_in_again(course, "Kim", tiny.answered(course, **tiny.inside("return 6")))
    one = graded(course)["Kim"]
    assert (one.points, one.to_read, one.notes) == (2, 0, [])
    hand_in_again(course, "Kim", tiny.answered(course, essay="Quite another answer."))
    one = graded(course)["Kim"]
    assert (one.points, one.to_read) == (2, 1)
    assert "had 1 points for another text" in one.notes[0]
    give_points(course, "Kim", 1)
    hand_in_again(course, "Kim", b"{half a notebook")
    one = graded(course)["Kim"]
    assert (one.points, one.to_read) == (3, 0)
    assert "Shown is what was handed in before" in one.notes[1]
    page = (course / "feedback" / "Kim" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
    assert "3 of 3 points" in page
    assert "no notebook that can be read" in page


def test_sheet_of_another_member_is_taken_over(course):
    sheet = course / "reading" / tiny.WEEK / "Lee.md"
    text = sheet.read_text(encoding="utf-8")
    assert "Reader: Min" in text
    sheet.write_text(
        text.replace("[ ]", "[x]").replace("Read by:", "Read by: Min <b>").replace("Comment:", "Comment: ok")
    )
    one = graded(course)["Lee"]
    assert (one.points, one.to_read, one.notes) == (3, 0, [])
    page = (course / "feedback" / "Lee" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
    assert "Read by Min &lt;b&gt;. ok" in page


def test_interrupted_one_is_done_again_and_no_failure_of_the_machine_is_kept(course, monkeypatch):
    place = Place(course)
    known = record(place, "Min", tiny.WEEK)
    remember(place, "Min", tiny.WEEK, {**known, "fingerprint": None})
    one = graded(course)["Min"]
    assert (one.points, one.notes) == (2, [])
    remember(place, "Min", tiny.WEEK, {**known, "fingerprint": None})
    monkeypatch.setattr(worker, "work", _dies)
    one = graded(course)["Min"]
    assert "The grader itself stopped" in one.notes[0]
    monkeypatch.undo()
    assert graded(course)["Min"].notes == []


def _dies(*_):
    raise SystemExit(3)


def test_points_by_hand_outlive_a_grader_that_died_midway(course, monkeypatch):
    """nbgrader takes the old copy away first, and with it the text that the points were for."""
    give_points(course, "Min", 1)
    hand_in_again(course, "Min", tiny.answered(course, essay="Another text."))
    monkeypatch.setattr(worker, "work", _dies_midway)
    one = graded(course)["Min"]
    assert (one.points, "Shown is what was handed in before" in one.notes[1]) == (3, True)
    monkeypatch.undo()
    one = graded(course)["Min"]
    assert (one.points, one.to_read) == (2, 1)
    assert one.notes == ["essay had 1 points for another text; it has to be read again."]


def _dies_midway(_, place, one, week, *__):
    worker._keep(place, one, week)
    shutil.rmtree(place.autograded / one)
    os.kill(os.getpid(), signal.SIGKILL)


def test_gradebook_in_use_is_told_in_a_sentence(course, monkeypatch):
    monkeypatch.setattr(homework, "LOCK_SECONDS", 1)
    with contextlib.closing(sqlite3.connect(course / "gradebook.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(HomeworkError, match=r"^The gradebook is in use .*: close it, call again\.$"):
            grade_all(course, trust=tiny.TRUST)
        other.execute("rollback")
    assert graded(course)["Lee"].points in (2, 3)


def test_interrupted_by_the_keyboard(course):
    """The signal goes to all of the terminal's processes; what was graded by then is not graded again."""
    for number in range(3):
        tiny.hand_in(course, f"late {number}", tiny.answered(course))
    command = [sys.executable, GRADE, "--course", course, "--jobs", "1", *["--trust"] * tiny.TRUST]
    options = {"stdout": PIPE, "stderr": PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **options) as process:
        while "late 0" not in process.stdout.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert (process.returncode, said.splitlines()) == (130, [INTERRUPTED])
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(course) in str(each.info["cmdline"])]
    first = record(Place(course), "late 0", tiny.WEEK)
    assert first["fingerprint"]
    assert not record(Place(course), "late 2", tiny.WEEK).get("fingerprint")
    after = graded(course)
    assert [(after[f"late {n}"].points, after[f"late {n}"].notes) for n in range(3)] == 3 * [(2, [])]
    assert record(Place(course), "late 0", tiny.WEEK) == first


ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.path.dirname({grade!r}))
import grade
sys.argv = ["grade.py", "--trust", "--course", "{small}/course"]
for room in (4_000, 40_000, None):
    if room:
        Path("{small}/room").write_bytes(bytes(room))
        with open("{small}/full", "wb", buffering=0) as full:
            try:
                while full.write(bytes(1_000)) == 1_000:
                    pass
            except OSError:
                pass
        os.remove("{small}/room")
    status = grade.main()
    print("STATUS", status, flush=True)
    Path("{small}/full").unlink(missing_ok=True)
"""


def test_full_disk_is_told_in_a_sentence_and_loses_nothing(tmp_path):
    """A file system of a few megabytes: room not even for the gradebook; for half of what is written; for all."""
    if tiny.TRUST:
        pytest.skip("no bubblewrap, which makes the small file system")
    tiny.make_course(tmp_path / "course")
    for member in ("Kim", "Lee"):
        tiny.hand_in(tmp_path / "course", member, tiny.answered(tmp_path / "course"))
    small = tmp_path / "small"
    small.mkdir()
    code = ON_A_FULL_DISK.format(grade=GRADE, small=small)
    script = (
        f"cp -r {tmp_path}/course {small}; exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} 2>&1"
    )
    walls = ["bwrap", "--dev-bind", "/", "/", "--size", "4000000", "--tmpfs", small]
    done = subprocess.run([*walls, "sh", "-c", script], capture_output=True, text=True, check=True)
    *full, after, _ = done.stdout.split("STATUS ")
    assert "Traceback" not in done.stdout
    assert len(full) == 2
    assert all(re.search(r"No space left|The disk is full", said) for said in full), full
    assert re.search(r"Kim +2/3 \+1\nLee +2/3 \+1\n", after), after


def test_two_at_once_are_refused_in_a_sentence(course):
    (course / "grading").mkdir(exist_ok=True)
    with FileLock(course / "grading" / "lock"), pytest.raises(HomeworkError, match=r"^Another make grade"):
        grade_all(course, trust=tiny.TRUST)


def test_own_folder_touches_nothing_of_the_organisers(course):
    (course / "mine").mkdir()
    shutil.copyfile(
        course / "submitted" / "Lee" / tiny.WEEK / f"{tiny.WEEK}.ipynb", course / "mine" / "my homework.ipynb"
    )
    before = {
        path: path.read_bytes() for path in (course / "gradebook.db", *(course / "feedback").rglob("*.html"))
    }
    (one,) = grade_all(course, me=True, trust=tiny.TRUST)
    assert (one.name, one.week, one.points, one.to_read) == ("me", tiny.WEEK, 2, 1)
    assert (course / "mine" / "feedback" / tiny.WEEK / f"{tiny.WEEK}.html").is_file()
    assert {path: path.read_bytes() for path in before} == before
    assert len(before) >= 4


def test_another_weeks_notebook_is_named(course):
    notebook = tiny.answered(course)
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata and cell.id not in ("setup",):
            cell.metadata.nbgrader.grade_id = f"other_{cell.id}"
        cell.id, cell.source = f"other_{cell.id}", cell.source.replace("double", "triple")
    other = course / "source" / "week9_other" / "week9_other.ipynb"
    other.parent.mkdir()
    nbformat.write(notebook, other)
    tiny.hand_in(course, "Zoe", notebook)
    one = graded(course)["Zoe"]
    assert one.points is None
    assert one.notes == [f"This is the notebook of week9_other, in the folder of {tiny.WEEK}: move it there."]
