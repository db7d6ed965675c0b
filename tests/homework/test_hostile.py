"""Submissions that attack get nothing by it, and nobody else loses anything."""

import hashlib
import os
import re
import shutil
import socket
import sys
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
import tiny
from grade import grade_all
from grading import sandbox
from grading.table import write_csv
from homework import COURSE, HomeworkError
from hostile import ATTACKS, CHEATS, SCRIPT

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
def batch(tmp_path_factory):
    """Honest ones graded alone and among all hostile ones: outcomes, rows of the honest, checksums."""
    os.environ["SECRET"] = "hostile-secret"
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("hostile-secret")
    alone = course_with_honest(tmp_path_factory.mktemp("alone") / "course")
    course = course_with_honest(tmp_path_factory.mktemp("among") / "course")
    with socket.create_server(("127.0.0.1", 0)) as server:
        filled = {"course": course, "home": home, "port": server.getsockname()[1]}
        for member, source in {**CHEATS, **ATTACKS}.items():
            answer = source.replace("{{}}", "{}") if member in CHEATS else source.format(**filled)
            essay = SCRIPT if member == "shows a script" else tiny.RIGHT["essay"]
            tiny.hand_in(course, member, tiny.answered(course, double=answer, essay=essay))
        kept = (course / "submitted", course / "source", home, COURSE.parents[1] / "course_utils")
        before = checksum(*kept)
        outcomes = grade_all(course)
        after = checksum(*kept)
    rows = lines_of_honest(alone, grade_all(alone)), lines_of_honest(course, outcomes)
    return course, {one.name: one for one in outcomes}, rows, (before, after)


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
    assert not re.search(r"^(<pre>)?FOUND", page, re.MULTILINE)
    assert len(page) < 3_000_000


@needs_walls
def test_others_get_what_they_get_without_them(batch):
    alone, among = batch[2]
    assert alone == among
    assert len(alone) == len(HONEST)


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


def test_without_walls_a_sentence_and_trust(tmp_path, monkeypatch):
    course = course_with_honest(tmp_path / "course")
    elsewhere = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "bwrap" else elsewhere(name))
    with pytest.raises(HomeworkError, match=r"^Submissions run code of their own, .*TRUST=1\.$"):
        grade_all(course)
    points = {one.name: one.points for one in grade_all(course, trust=True)}
    assert points == {"right": 2, "wrong": 0, "half": 1}
