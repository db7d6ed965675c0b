"""What was graded, read by a person or interrupted is neither lost nor done twice."""

import shutil
import sys

import nbformat
import pytest
import tiny
from filelock import FileLock
from grade import grade_all
from grading import worker
from grading.worker import Place, record, remember
from homework import HomeworkError, settings
from nbgrader.api import Gradebook

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")]


@pytest.fixture
def course(tmp_path):
    course = tmp_path / "course"
    tiny.make_course(course)
    for member in ("Kim", "Lee"):
        tiny.hand_in(course, member, tiny.answered(course))
    return course


def graded(course, **options):
    return {one.name: one for one in grade_all(course, **options)}


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
    graded(course)
    sheet = course / "reading" / tiny.WEEK / "Kim.md"
    text = sheet.read_text(encoding="utf-8")
    assert "Reader: Lee" in text
    sheet.write_text(
        text.replace("[ ]", "[x]").replace("Read by:", "Read by: Lee <b>").replace("Comment:", "Comment: ok")
    )
    one = graded(course)["Kim"]
    assert (one.points, one.to_read, one.notes) == (3, 0, [])
    page = (course / "feedback" / "Kim" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
    assert "Read by Lee &lt;b&gt;. ok" in page


def test_interrupted_one_is_done_again_and_no_failure_of_the_machine_is_kept(course, monkeypatch):
    place = Place(course)
    graded(course)
    known = record(place, "Kim", tiny.WEEK)
    remember(place, "Kim", tiny.WEEK, {**known, "fingerprint": None})
    one = graded(course)["Kim"]
    assert (one.points, one.notes) == (2, [])
    remember(place, "Kim", tiny.WEEK, {**known, "fingerprint": None})
    monkeypatch.setattr(worker, "work", _dies)
    one = graded(course)["Kim"]
    assert "The grader itself stopped" in one.notes[0]
    monkeypatch.undo()
    assert graded(course)["Kim"].notes == []


def _dies(*_):
    raise SystemExit(3)


def test_two_at_once_are_refused_in_a_sentence(course):
    (course / "grading").mkdir(exist_ok=True)
    with FileLock(course / "grading" / "lock"), pytest.raises(HomeworkError, match=r"^Another make grade"):
        grade_all(course)


def test_own_folder_touches_nothing_of_the_organisers(course):
    (course / "mine").mkdir()
    shutil.copyfile(
        course / "submitted" / "Kim" / tiny.WEEK / f"{tiny.WEEK}.ipynb", course / "mine" / "my homework.ipynb"
    )
    book = course / "gradebook.db"
    before = book.read_bytes()
    (one,) = grade_all(course, me=True)
    assert (one.name, one.week, one.points, one.to_read) == ("me", tiny.WEEK, 2, 1)
    assert (course / "mine" / "feedback" / tiny.WEEK / f"{tiny.WEEK}.html").is_file()
    assert book.read_bytes() == before
    assert not (course / "feedback").exists()


def test_another_weeks_notebook_is_named(course):
    notebook = tiny.answered(course)
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata and cell.id not in ("setup",):
            cell.metadata.nbgrader.grade_id = f"other_{cell.id}"
        cell.id, cell.source = f"other_{cell.id}", cell.source.replace("double", "triple")
    other = course / "source" / "week9_other" / "week9_other.ipynb"
    other.parent.mkdir()
    nbformat.write(notebook, other)
    hand_in_again(course, "Kim", notebook)
    one = graded(course)["Kim"]
    assert one.points is None
    assert one.notes == [f"This is the notebook of week9_other, in the folder of {tiny.WEEK}: move it there."]
