"""make update on a small clone of a small course: the newest version comes, and nobody's work is lost."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "update.sh"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="no git on PATH")


def call(*command, where, check=True):
    return subprocess.run(command, cwd=where, env=ENVIRONMENT, capture_output=True, text=True, check=check)


@pytest.fixture
def member(tmp_path):
    """The folder of a member whose clone of a bare repository is one version behind."""
    call("git", "init", "--quiet", "--bare", "--initial-branch=main", "course.git", where=tmp_path)
    for name in ("teacher", "my clone"):
        call("git", "clone", "--quiet", "course.git", name, where=tmp_path)
        if name == "teacher":
            publish(tmp_path / name, "first", first=True)
    publish(tmp_path / "teacher", "second")
    return tmp_path / "my clone"


def publish(teacher, text, first=False):
    if first:
        call("git", "checkout", "--quiet", "-b", "main", where=teacher)
    (teacher / "notebooks").mkdir(exist_ok=True)
    for name in ("01 수용.ipynb", "02.ipynb"):
        (teacher / "notebooks" / name).write_text(text)
    (teacher / ".gitignore").write_text("mine/\n")
    call("git", "add", "-A", where=teacher)
    call("git", "commit", "--quiet", "-m", text, where=teacher)
    call("git", "push", "--quiet", "origin", "main", where=teacher)


def test_a_plain_pull_is_refused_where_update_is_not(member):
    (member / "notebooks" / "01 수용.ipynb").write_text("my answers")
    (member / "notebooks" / "02.ipynb").unlink()
    (member / "scratch.ipynb").write_text("my own")
    assert call("git", "pull", "--ff-only", where=member, check=False).returncode != 0
    answer = call("sh", str(SCRIPT), where=member)
    assert {path.read_text() for path in (member / "notebooks").iterdir()} == {"second"}
    (kept,) = (member / "mine").iterdir()
    assert (kept / "notebooks" / "01 수용.ipynb").read_text() == "my answers"
    assert (member / "scratch.ipynb").read_text() == "my own"
    assert kept.name in answer.stdout and "second" in answer.stdout


def test_without_changes_there_is_nothing_to_keep(member):
    assert "second" in call("sh", str(SCRIPT), where=member).stdout
    assert not (member / "mine").exists()


def test_without_a_network_nothing_is_touched(member):
    (member / "notebooks" / "02.ipynb").write_text("my answers")
    shutil.rmtree(member.parent / "course.git")
    assert call("sh", str(SCRIPT), where=member, check=False).returncode != 0
    assert (member / "notebooks" / "02.ipynb").read_text() == "my answers"
