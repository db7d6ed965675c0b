"""Walls made by Docker or Podman around a member's process (grading/player.py), where there is no bubblewrap.

The process sees an image with Python and the course's package, and a scratch folder: no network, no file of yours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from homework import ROOT, HomeworkError

HERE = Path(__file__).resolve().parent
PROGRAMS = ("docker", "podman")
ANSWERS = 30  # seconds that one of them has to say that it works
LONGEST = 1800  # seconds after which a process ends by itself, should all of the grader's have died
NOBODY = "65534:65534"
PLAYER = ("python", "/course/player.py", "/handed_in")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CONTENT = ("pyproject.toml", "constraints.txt", "course_utils", "data")
OWN = ("Dockerfile", "player.py", "wire.py")


@dataclass(frozen=True)
class Container:
    """How to run members' processes: the program's path, the image, and what the names of all containers begin with."""

    program: str
    image: str
    run: str = field(default_factory=lambda: f"homework-{uuid.uuid4().hex[:8]}")

    def command(
        self, name: str, handed_in: Path, environment: dict, memory: int, files: int, most: int
    ) -> list[str]:
        """Program and arguments for a player with `memory` bytes, `files` bytes of files and `most` processes.

        The player sets limits of its own on the size of a file and on open ones.
        """
        _let_nobody_read(handed_in)
        walls = ["--name", name, "--interactive", "--network", "none", "--log-driver", "none", "--read-only"]
        walls += [*self._no_more_folders(), "--tmpfs", f"/tmp:rw,size={files},mode=1777"]
        walls += ["--shm-size", str(files), "--workdir", "/tmp", "--user", NOBODY]
        walls += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        walls += ["--memory", str(memory), "--memory-swap", str(memory), "--pids-limit", str(most)]
        walls += ["--mount", f"type=bind,source={handed_in},target=/handed_in,readonly"]
        for each, value in environment.items():
            walls += ["--env", f"{each}={value}"] if each != "PATH" else []
        return [self.program, "run", *walls, self.image, "timeout", "--signal=KILL", str(LONGEST), *PLAYER]

    def trouble(self) -> str:
        """What the program says where it cannot run a player, which ends since it hears nothing; else empty."""
        name = self.new_name()
        with tempfile.TemporaryDirectory() as folder:
            command = self.command(name, Path(folder), {"HOME": "/tmp"}, 2_000_000_000, 100_000_000, 64)
            silent = {"stdin": subprocess.DEVNULL, "capture_output": True, "check": False, "cwd": folder}
            done = subprocess.run([*command, "1000", "1000000"], **silent)
        self.remove(name)
        return _last_line(done) if done.returncode else ""

    def _no_more_folders(self) -> list[str]:
        """Podman alone lets a read-only container write to /run and /var/tmp, unless it is told not to."""
        return ["--read-only-tmpfs=false"] if Path(self.program).stem == "podman" else []

    def new_name(self) -> str:
        return f"{self.run}-{uuid.uuid4().hex[:12]}"

    def out_of_memory(self, name: str) -> bool:
        return "true" in _said(self.program, "inspect", "--format", "{{.State.OOMKilled}}", name)

    def remove(self, *names: str) -> None:
        """End containers and forget them; without names, all of this run's that are left."""
        names = names or _said(self.program, "ps", "--all", "--quiet", "--filter", f"name={self.run}").split()
        if names:
            _said(self.program, "rm", "--force", *names)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _last_line(done: subprocess.CompletedProcess) -> str:
    said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return said[-1] if said else "no reason given"


def _let_nobody_read(folder: Path) -> None:
    """The grader's copies: the user in the container is none of this machine's."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def find() -> Container | None:
    """The first of the programs that answers, with the image made; None where none does.

    Raises HomeworkError where the image cannot be built or does not run.
    """
    for program in there():
        found = Container(program, image(program))
        if trouble := found.trouble():
            raise HomeworkError(f"{Path(program).stem} cannot run what members handed in: {trouble}")
        return found
    return None


def there() -> Iterator[str]:
    """Paths of the programs that answer."""
    yield from filter(answers, filter(None, map(shutil.which, PROGRAMS)))


def answers(program: str) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        done = subprocess.run([program, "ps", "--quiet"], capture_output=True, timeout=ANSWERS, check=False)
        return done.returncode == 0
    return False


def image(program: str) -> str:
    """Name of the image, built where it is not there yet: from the course's own constraints, this Python's version.

    Raises HomeworkError with the last line that the program said where it cannot be built.
    """
    name = _name()
    if built(program):
        return name
    print(f"{Path(program).stem} builds the image for submissions, once: some minutes ...", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder))
        command = [program, "build", "--tag", name, "--build-arg", f"PYTHON={PYTHON}", folder]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise HomeworkError(
            f"{Path(program).stem} could not build the image for submissions: {_last_line(done)}"
        )
    size = int(_said(program, "image", "inspect", "--format", "{{.Size}}", name) or 0)
    print(f"{name}: {size / 1e9:.1f} GB, built in {time.monotonic() - started:.0f} s.", flush=True)
    return name


def built(program: str) -> bool:
    return bool(_said(program, "image", "inspect", "--format", "{{.Id}}", _name()).strip())


@cache
def _name() -> str:
    """Changes with all that is in the image."""
    total = hashlib.sha256(PYTHON.encode())
    for path in _content():
        total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return f"course-homework:{total.hexdigest()[:12]}"


def _content() -> list[Path]:
    found = [ROOT / name for name in CONTENT]
    files = [path for each in found for path in ([each] if each.is_file() else each.rglob("*"))]
    files = [path for path in files if path.is_file() and not path.name.endswith((".pyc", "-ubyte"))]
    return sorted([*files, *(HERE / name for name in OWN)])


def _lay_out(folder: Path) -> None:
    for path in _content():
        copy = folder / (path.name if path.parent == HERE else path.relative_to(ROOT))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o644)
