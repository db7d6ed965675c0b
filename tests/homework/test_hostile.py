"""Submissions that attack get nothing by it, and nobody else loses anything."""

import hashlib
import re
import shutil
import socket
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import psutil
import pytest
import tiny
from grade import grade_all
from grading import sandbox
from grading.table import write_csv
from grading.worker import Place
from homework import COURSE, HomeworkError
from hostile import ATTACKS, CHEATS, SCRIPT, THEFTS
from nbformat.v4 import new_code_cell

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")]
needs_walls = pytest.mark.skipif(
    bool(sandbox.missing()), reason="no bubblewrap: see the test of the sentence"
)
HONEST = {"right": {}, "wrong": tiny.inside("return x * x"), "half": tiny.inside("return 6")}


def checksum(*folders: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            total.update(str(path).encode() + path.read_bytes())
    return total.hexdigest()


def lines_of_honest(course: Path, outcomes: list) -> list[bytes]:
    write_csv(course / "grades.csv", outcomes)
    lines = (course / "grades.csv").read_bytes().splitlines(keepends=True)
    return [line for line in lines if line.split(b",")[0].decode() in HONEST]


def course_with_honest(folder: Path) -> Path:
    tiny.make_course(folder)
    for member, answers in HONEST.items():
        tiny.hand_in(folder, member, tiny.answered(folder, **answers))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Honest ones graded alone, by a machine that cannot keep them apart: the sentence, outcomes, their rows."""
    course = course_with_honest(tmp_path_factory.mktemp("alone") / "course")
    elsewhere = shutil.which
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None if name == "bwrap" else elsewhere(name))
        with pytest.raises(HomeworkError) as refused:
            grade_all(course)
        outcomes = grade_all(course, trust=True)
    return str(refused.value), outcomes, lines_of_honest(course, outcomes)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Honest ones graded among all hostile ones: course, outcomes, rows of the honest, checksums."""
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("hostile-secret")
    course = course_with_honest(tmp_path_factory.mktemp("among") / "course")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", "hostile-secret")
        filled = {"course": course, "home": home, "port": server.getsockname()[1]}
        for member, source in {**CHEATS, **ATTACKS}.items():
            answer = source.replace("{{}}", "{}") if member in CHEATS else source.format(**filled)
            tiny.hand_in(course, member, tiny.answered(course, double=answer))
        thief = tiny.answered(course, essay=SCRIPT)
        thief.cells += [new_code_cell(source.format(**filled)) for source in THEFTS.values()]
        tiny.hand_in(course, "thief", thief)
        kept = (course / "submitted", course / "source", home, COURSE.parents[1] / "course_utils")
        before = checksum(*kept)
        outcomes = grade_all(course)
        after = checksum(*kept)
    return course, {one.name: one for one in outcomes}, lines_of_honest(course, outcomes), (before, after)


@needs_walls
@pytest.mark.parametrize("member", CHEATS)
def test_cheating_earns_what_a_wrong_answer_earns(batch, member):
    one = batch[1][member]
    assert one.points == 0
    assert one.notes or "equals" in member, "nothing said"


@needs_walls
@pytest.mark.parametrize("member", ATTACKS)
def test_attack_finds_nothing_and_is_graded(batch, member):
    course, by_member, _, _ = batch
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
    assert alone[2] == batch[2]
    assert len(alone[2]) == len(HONEST)


@needs_walls
def test_nothing_outside_of_scratch_folders_changed(batch):
    before, after = batch[3]
    assert before == after


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
    assert {one.name: one.points for one in outcomes} == {"right": 2, "wrong": 0, "half": 1}


def test_sentence_elsewhere_says_what_to_do_there(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    assert sandbox.missing().endswith(
        "only Linux can keep them apart: grade on such a machine, or call with TRUST=1."
    )
