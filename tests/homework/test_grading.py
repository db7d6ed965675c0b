"""`make grade` holds whatever is handed in: the others are graded, a sentence says what is wrong with each."""

import csv
import hashlib
import html
import sys

import pytest
import tiny
from grade import grade_all
from grading.find import find
from grading.table import table, write_csv
from homework import settings
from nbgrader.api import Gradebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kernels end otherwise there"),
]


def fingerprints(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Every submission of tiny.py graded in one go: course, outcomes by member, expectations, files before."""
    course = tmp_path_factory.mktemp("homework") / "a course"
    tiny.make_course(course)
    expected = {}
    for member, (answers, points, note) in tiny.ANSWERS.items():
        tiny.hand_in(course, member, tiny.answered(course, **answers))
        expected[member] = (points, note)
    for member, (content, filename, points, note) in tiny.tampered(course).items():
        tiny.hand_in(course, member, content, filename)
        expected[member] = (points, note)
    tiny.hand_in(course, "untouched", tiny.release(course))
    expected["untouched"] = (0, None)
    tiny.hand_in(
        course, "torch beside", tiny.answered(course, **tiny.code("import torch\nprint(torch.ones(1))"))
    )
    (course / "submitted" / "torch beside" / tiny.WEEK / "torch.py").write_text("raise ImportError('mine')")
    expected["torch beside"] = (2, "torch.py is called like a package; the package was used, not this file.")
    (course / "submitted" / "right" / "Week 0").mkdir()
    before = fingerprints(course / "submitted")
    outcomes = grade_all(course, trust=tiny.TRUST)
    return course, {one.name: one for one in outcomes if one.week == tiny.WEEK}, expected, before, outcomes


def test_everyone_is_in_the_table(batch):
    _, by_member, expected, _, _ = batch
    assert set(by_member) == set(expected)


def test_points_and_sentences(batch):
    _, by_member, expected, _, _ = batch
    wrong = {}
    for member, (points, note) in expected.items():
        one = by_member[member]
        told = " ".join(one.notes)
        if one.points != points or (note is None) != (not one.notes) or (note or "") not in told:
            wrong[member] = (one.points, told, "expected", points, note)
    assert not wrong


def test_a_person_reads_only_what_was_written(batch):
    _, by_member, _, _, _ = batch
    assert by_member["right"].to_read == 1
    assert by_member["untouched"].to_read == 0
    assert by_member["deleted test"].to_read == 1


def test_the_form_can_show_the_name_as_it_was_written(batch):
    """nbgrader's page shows the id, which such a name has not, unless both names are set."""
    course, by_member, _, _, _ = batch
    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        student = book.find_student(by_member["[1조] 김 하늘"].id)
        assert (student.last_name, student.first_name) == ("[1조] 김 하늘", "")


def test_no_submission_is_changed_or_lost(batch):
    course, _, _, before, _ = batch
    assert fingerprints(course / "submitted") == before


def test_everyone_gets_a_page_of_bearable_size(batch):
    course, by_member, _, _, _ = batch
    for member, one in by_member.items():
        page = course / "feedback" / one.id / tiny.WEEK / f"{tiny.WEEK}.html"
        assert page.is_file(), member
        assert page.stat().st_size < 3_000_000, member


def test_page_has_the_notes_and_what_is_not_yet_read(batch):
    course, by_member, _, _, _ = batch
    for member in ("deleted test", "a&b"):
        one = by_member[member]
        page = (course / "feedback" / one.id / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
        assert all(html.escape(note) in page for note in one.notes)
        assert "A person still has to read your written answer" in page
        assert page.count("not yet read") == 2
        assert "Hint" in page and "&lt;details" not in page


def test_page_names_the_mistake(batch):
    course, _, _, _, _ = batch
    page = (course / "feedback" / "wrong" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
    assert "This looks like: the square." in page
    page = (course / "feedback" / "loops inside" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(
        encoding="utf-8"
    )
    assert "a loop that never ends" in page


def test_folder_that_is_no_week_is_named(batch):
    _, _, _, _, outcomes = batch
    notes = [note for one in outcomes if one.week == "Week 0" for note in one.notes]
    assert notes == [f"Week 0 is no folder of a week; these are: {tiny.WEEK}."]


def test_table_and_csv_say_the_same(batch):
    course, by_member, _, _, outcomes = batch
    text = table(outcomes, [tiny.WEEK])
    write_csv(course / "grades.csv", outcomes)
    with (course / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file) if row["week"] == tiny.WEEK}
    for member, one in by_member.items():
        assert rows[member]["points"] == ("" if one.points is None else f"{one.points:g}")
        assert all(note in text and note in rows[member]["notes"] for note in one.notes)


def test_second_run_keeps_what_a_person_gave(batch):
    course, _, _, _, _ = batch
    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        grade = book.find_grade("essay", tiny.WEEK, tiny.WEEK, "right")
        grade.manual_score, grade.needs_manual_grade = 1, False
        book.find_comment("essay", tiny.WEEK, tiny.WEEK, "right").manual_comment = "Well said."
        book.db.commit()
    for path in (course / "submitted").iterdir():
        if path.name not in ("right", "wrong"):
            path.rename(course / f"away {path.name}")
    outcomes = {one.name: one for one in grade_all(course, trust=tiny.TRUST) if one.week == tiny.WEEK}
    assert (outcomes["right"].points, outcomes["right"].to_read) == (3, 0)
    page = course / "feedback" / "right" / tiny.WEEK / f"{tiny.WEEK}.html"
    assert "Well said." in page.read_text(encoding="utf-8")


def test_find_without_any_submission(tmp_path):
    assert list(find(tmp_path)) == []
