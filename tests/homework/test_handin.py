"""`make handin` refuses what cannot be graded and says what is still empty."""

import shutil

import nbformat
import pytest
from answers import WEEKS, cells, marks
from handin import hand_in
from homework import COURSE, HomeworkError

WEEK = WEEKS[1]


@pytest.fixture
def course(tmp_path):
    for step in ("source", "release"):
        shutil.copytree(COURSE / step, tmp_path / step)
    (tmp_path / "mine").mkdir()
    return tmp_path


def put(course, week, name=None, answers=None):
    notebook = nbformat.read(COURSE / "release" / week / f"{week}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = (answers or {}).get(marks(cell).get("grade_id"), cell.source)
    nbformat.write(notebook, course / "mine" / f"{name or week}.ipynb")


def test_a_full_one_is_copied_byte_for_byte(course):
    put(
        course, WEEK, answers={marks(cell)["grade_id"]: "1" for cell in cells(WEEK, "release") if marks(cell)}
    )
    where, still = hand_in("week2", "김 민지", course, course / "out")
    assert where.endswith("김 민지")
    assert still == "Every answer has something in it."
    written = course / "out" / "김 민지" / WEEK / f"{WEEK}.ipynb"
    assert written.read_bytes() == (course / "mine" / f"{WEEK}.ipynb").read_bytes()


def test_empty_answers_are_named(course):
    put(course, WEEK, answers={"sizes": "size_a = 3", "compose": "  "})
    _, still = hand_in(WEEK, "Lee", course, course / "out")
    assert "compose" in still
    assert "discussion" in still
    assert "sizes" not in still


@pytest.mark.parametrize("name", ["[2조] 박", "-Lee", "O'Brien", "🦊"])
def test_names_that_are_a_folder(course, name):
    put(course, WEEK)
    assert hand_in("week2", name, course, course / "out")[0].endswith(name)


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "a\nb", "a*b", "Lee ", "a:b", "가" * 100])
def test_names_that_are_no_folder_are_refused(course, name):
    put(course, WEEK)
    with pytest.raises(HomeworkError, match="cannot be a folder's name"):
        hand_in("week2", name, course, course / "out")


@pytest.mark.parametrize("week", ["", "week", "week9"])
def test_weeks_that_are_not_one_are_refused(course, week):
    with pytest.raises(HomeworkError, match="is not one of week1_"):
        hand_in(week, "Lee", course, course / "out")


def test_another_weeks_notebook_is_named(course):
    put(course, WEEKS[3], name=WEEK)
    with pytest.raises(HomeworkError, match=f"it looks like {WEEKS[3]}"):
        hand_in("week2", "Lee", course, course / "out")


def test_a_notebook_that_is_missing_or_broken(course):
    with pytest.raises(HomeworkError, match="it has no notebook"):
        hand_in("week2", "Lee", course, course / "out")
    put(course, WEEK, name="Untitled")
    with pytest.raises(HomeworkError, match=r"there are Untitled\.ipynb"):
        hand_in("week2", "Lee", course, course / "out")
    (course / "mine" / f"{WEEK}.ipynb").write_text("{")
    with pytest.raises(HomeworkError, match="no notebook that can be read"):
        hand_in("week2", "Lee", course, course / "out")
    assert not (course / "out").exists()
