"""`make grade` holds whatever is handed in: the others are graded, a sentence says what is wrong with each.

Submissions that attack are graded among the others: they get nothing by it, and nobody else loses anything.
"""

import csv
import hashlib
import html
import re
import shutil
import socket
import sys
from html.parser import HTMLParser

import nbformat
import psutil
import pytest
import tiny
from grade import grade_all
from grading import container, sandbox
from grading.find import find
from grading.table import table, write_csv
from grading.worker import Place
from homework import COURSE, HomeworkError, settings
from hostile import ATTACKS, CHEATS, SCRIPT, THEFTS
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook
from test_container import container_ready

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kernels end otherwise there"),
]
needs_walls = pytest.mark.usefixtures("walls")
HONEST = ("right", "wrong", "a*b")


def fingerprints(*folders):
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    files = (path for path in files if "__pycache__" not in path.parts)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines_of_honest(course, outcomes):
    write_csv(course / "grades.csv", outcomes)
    lines = (course / "grades.csv").read_bytes().splitlines(keepends=True)
    return [line for line in lines if line.split(b",")[0].decode() in HONEST and b"Week 0" not in line]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Honest ones graded alone, by a machine that cannot keep them apart: the sentence, outcomes, their rows."""
    course = tmp_path_factory.mktemp("alone") / "course"
    tiny.make_course(course)
    for member in HONEST:
        tiny.hand_in(course, member, tiny.answered(course, **tiny.ANSWERS[member][0]))
    elsewhere, hidden = shutil.which, ("bwrap", "docker", "podman")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None if name in hidden else elsewhere(name))
        with pytest.raises(HomeworkError) as refused:
            grade_all(course)
        outcomes = grade_all(course, trust=True)
    return str(refused.value), outcomes, lines_of_honest(course, outcomes)


@pytest.fixture(scope="module", params=["bubblewrap", *container_ready()])
def program(request):
    """What keeps submissions apart."""
    return request.param


@pytest.fixture(scope="module")
def trust(program):
    """Whether nothing does: bubblewrap is not there."""
    return tiny.TRUST and program == "bubblewrap"


@pytest.fixture
def walls(trust):
    if trust:
        pytest.skip("no bubblewrap: see the test of the sentence")


@pytest.fixture(scope="module")
def batch(tmp_path_factory, program, trust):
    """All submissions graded in one go: course, outcomes by member, expectations, files before and after, all."""
    course = tmp_path_factory.mktemp("homework") / "a course"
    tiny.make_course(course)
    expected = hand_in_broken(course)
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("hostile-secret")
    kept = (course / "submitted", course / "source", home, COURSE.parents[1] / "course_utils")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "hostile-secret")
        if program != "bubblewrap":
            expected["hoards memory"] = (0, "Cell")  # not every program knows why the kernel was ended
            patch.setattr(container, "PROGRAMS", (program,))
            patch.setattr(sandbox, "no_bubblewrap", lambda: "it is left aside")
        if not trust:
            hand_in_hostile(course, course=course, home=home, port=server.getsockname()[1])
        before = fingerprints(*kept)
        outcomes = grade_all(course, trust=trust)
    by_member = {one.name: one for one in outcomes if one.week == tiny.WEEK}
    return course, by_member, expected, (before, fingerprints(*kept)), outcomes


def hand_in_broken(course):
    """What is odd, broken or tampered with; points and part of the note by member."""
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
    return expected


def hand_in_hostile(folder, **filled):
    for member, source in {**CHEATS, **ATTACKS}.items():
        answer = source.replace("{{}}", "{}") if member in CHEATS else source.format(**filled)
        tiny.hand_in(folder, member, tiny.answered(folder, double=answer))
    thief = tiny.answered(folder, essay=SCRIPT)
    thief.cells += [new_code_cell(source.format(**filled)) for source in THEFTS.values()]
    tiny.hand_in(folder, "thief", thief)


def test_everyone_is_in_the_table(batch, trust):
    _, by_member, expected, _, _ = batch
    hostile = set() if trust else {*CHEATS, *ATTACKS, "thief"}
    assert set(by_member) == {*expected, *hostile}


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


def test_nothing_outside_of_scratch_folders_is_changed_or_lost(batch):
    before, after = batch[3]
    assert before == after


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
    page = (course / "feedback" / "syntax error" / tiny.WEEK / f"{tiny.WEEK}.html").read_text(
        encoding="utf-8"
    )
    assert "could not use what the cells above it gave" in page


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


@needs_walls
@pytest.mark.parametrize("member", CHEATS)
def test_cheating_earns_what_a_wrong_answer_earns(batch, member):
    one = batch[1][member]
    assert one.points == 0
    assert one.notes or "equals" in member, "nothing said"


@needs_walls
@pytest.mark.parametrize("member", ATTACKS)
def test_attack_finds_nothing_and_is_graded(batch, member):
    course, by_member, _, _, _ = batch
    assert by_member[member].points in (0, 2)
    page = (course / "feedback" / member / tiny.WEEK / f"{tiny.WEEK}.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000


@needs_walls
@pytest.mark.parametrize("number, name", list(enumerate(THEFTS)))
def test_thief_finds_nothing(batch, number, name):
    notebook = nbformat.read(Place(batch[0]).notebook("thief", tiny.WEEK), as_version=4)
    outputs = notebook.cells[number - len(THEFTS)].outputs
    assert not any("FOUND" in output.get("text", "") for output in outputs)
    errors = {output.ename for output in outputs if output.output_type == "error"}
    assert errors <= {
        "OSError",
        "FileNotFoundError",
        "PermissionError",
        "OperationalError",
        "ConnectionRefusedError",
    }


@needs_walls
def test_thief_earns_what_the_answers_earn(batch):
    assert (batch[1]["thief"].points, batch[1]["thief"].to_read) == (2, 1)


@needs_walls
def test_others_get_what_they_get_without_them(batch, alone):
    assert alone[2] == lines_of_honest(batch[0], batch[4])
    assert len(alone[2]) == len(HONEST)


@needs_walls
def test_no_process_is_left(batch):
    for process in psutil.process_iter(["cmdline"]):
        assert "987.125" not in " ".join(process.info["cmdline"] or [])


@needs_walls
def test_pages_have_no_active_content(batch):
    course = batch[0]

    class Active(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag not in ("script", "iframe", "object", "embed", "form", "svg", "link")
            for name, value in attributes:
                assert not name.startswith("on")
                assert "javascript:" not in (value or "")

    for page in (course / "feedback").rglob("*.html"):
        Active().feed(page.read_text(encoding="utf-8"))


def test_without_walls_a_sentence_and_trust(alone):
    sentence, outcomes, _ = alone
    assert re.fullmatch(r"Submissions run code of their own, .*TRUST=1\.", sentence)
    assert {one.name: one.points for one in outcomes} == {"right": 2, "wrong": 0, "a*b": 1}


def test_sentence_elsewhere_says_what_to_do_there(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    monkeypatch.setattr(container, "PROGRAMS", ())
    with pytest.raises(
        HomeworkError, match=r"only Linux has bubblewrap, and neither Docker nor Podman answers"
    ):
        sandbox.choose(trust=False)


def test_second_run_keeps_what_a_person_gave(batch, trust):
    course, _, _, _, _ = batch
    with Gradebook(settings(course).CourseDirectory.db_url) as book:
        grade = book.find_grade("essay", tiny.WEEK, tiny.WEEK, "right")
        grade.manual_score, grade.needs_manual_grade = 1, False
        book.find_comment("essay", tiny.WEEK, tiny.WEEK, "right").manual_comment = "Well said."
        book.db.commit()
    for path in (course / "submitted").iterdir():
        if path.name != "right":
            path.rename(course / f"away {path.name}")
    outcomes = {one.name: one for one in grade_all(course, trust=trust) if one.week == tiny.WEEK}
    assert (outcomes["right"].points, outcomes["right"].to_read) == (3, 0)
    page = course / "feedback" / "right" / tiny.WEEK / f"{tiny.WEEK}.html"
    assert "Well said." in page.read_text(encoding="utf-8")


def test_find_without_any_submission(tmp_path):
    assert list(find(tmp_path)) == []
