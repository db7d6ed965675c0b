"""Where there is no bubblewrap, Docker or Podman runs members' cells: the command line, and what becomes of it.

A program called docker stands in for it here, which notes what it is asked for and runs it without walls. Where a
real one has the course's image already, test_grading.py grades its whole batch with that as well.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
from grade import grade_all
from grading import container, sandbox
from grading.container import LONGEST, Container
from homework import HomeworkError

FAKE = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[0] == "build":
    print("no space left on device", file=sys.stderr)
    sys.exit({fails})
if arguments[:2] == ["image", "inspect"]:
    known = any(line.startswith('["build"') for line in open({log!r}))
    print("1500000000" if known else "")
    sys.exit(not known)
if arguments[0] == "run":
    mount = arguments[arguments.index("--mount") + 1]
    handed_in = mount.split("source=")[1].split(",")[0]
    player = arguments[arguments.index("timeout") + 4 :]
    os.execv(sys.executable, [sys.executable, {player!r}, handed_in, *player[2:]])
"""


def container_ready():
    """Programs that answer here and have the course's image."""
    return [Path(each).stem for each in container.there() if container.built(each)]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts the stand-in on PATH in place of bubblewrap; returns what it was asked for."""

    def install(fails=0):
        log, program = tmp_path / "asked", tmp_path / "bin" / "docker"
        program.parent.mkdir()
        player = str(container.HERE / "player.py")
        program.write_text(FAKE.format(python=sys.executable, log=str(log), player=player, fails=fails))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(sandbox, "no_bubblewrap", lambda: "only Linux has bubblewrap")
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return install


@pytest.mark.slow
def test_without_bubblewrap_each_submission_is_run_in_a_container(tmp_path, fake, capsys):
    asked = fake()
    course = tmp_path / "course"
    tiny.make_course(course)
    tiny.hand_in(course, "right", tiny.answered(course))
    tiny.hand_in(course, "[2조] 박", tiny.answered(course, **tiny.inside("import os\nos._exit(1)")))
    graded = {one.name: (one.points, " ".join(one.notes)) for one in grade_all(course)}
    assert graded["right"] == (2, "")
    assert graded["[2조] 박"][0] == 0
    assert "ended the kernel" in graded["[2조] 박"][1]
    said = capsys.readouterr().out
    assert "docker builds the image" in said and "1.5 GB, built in" in said
    runs = [each for each in asked() if each[0] == "run"]
    names = {each[each.index("--name") + 1] for each in runs}
    removed = {name for each in asked() if each[:2] == ["rm", "--force"] for name in each[2:]}
    assert len(names) == len(runs) >= 2
    assert names <= removed


def test_command_line_shuts_off_what_a_member_must_not_reach(tmp_path):
    made = Container("docker", "course-homework:0", "homework-1")
    environment = {"HOME": "/tmp", "PATH": "/mine", "OMP_NUM_THREADS": "2"}
    command = made.command("homework-1-2", tmp_path, environment, 4_000, 3_000, 64)
    image = command.index("course-homework:0")
    pairs = list(pairwise(command[:image]))
    options = dict(pairs)
    wanted = {"--network": "none", "--user": "65534:65534", "--cap-drop": "ALL", "--memory": "4000"}
    wanted |= {"--memory-swap": "4000", "--pids-limit": "64", "--shm-size": "3000", "--log-driver": "none"}
    wanted |= {"--security-opt": "no-new-privileges", "--tmpfs": "/tmp:rw,size=3000,mode=1777"}
    assert {name: options[name] for name in wanted} == wanted
    assert "--read-only" in command[:image] and "--privileged" not in command
    mounts = [value for name, value in pairs if name in ("--mount", "-v", "--volume")]
    assert mounts == [f"type=bind,source={tmp_path},target=/handed_in,readonly"]
    assert not any(value.startswith("PATH=") for value in command)
    assert command[image + 1 : image + 4] == ["timeout", "--signal=KILL", str(LONGEST)]


def test_image_that_cannot_be_built_is_told_in_a_sentence(fake):
    fake(fails=1)
    with pytest.raises(
        HomeworkError, match=r"^docker could not build the image .*: no space left on device$"
    ):
        sandbox.choose(trust=False)


def test_program_that_does_not_answer_is_passed_over(fake, tmp_path, monkeypatch):
    fake()
    (tmp_path / "bin" / "docker").write_text(
        "#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n"
    )
    monkeypatch.setattr(container, "PROGRAMS", ("docker",))
    with pytest.raises(
        HomeworkError, match=r"only Linux has bubblewrap, and neither Docker nor Podman answers"
    ):
        sandbox.choose(trust=False)
    assert sandbox.choose(trust=True) is None
