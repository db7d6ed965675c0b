"""A process for a member's code that sees Python, the course's package and a scratch folder, and nothing else.

On Linux bubblewrap (the program `bwrap`) makes it, elsewhere a container: no network, no file of yours, nothing
left running.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE

import psutil
from homework import ROOT, HomeworkError

from grading import container
from grading.container import Container

HERE = Path(__file__).resolve().parent
SCRATCH_BYTES = 300_000_000  # of files that one submission may write
MOST_PROCESSES = 64
NEEDED = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
NEEDED_FILES = ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives")
PASSED_ON = ("LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "SYSTEMROOT")


class Bubblewrap:
    """Walls by the program `bwrap`."""


Walls = Bubblewrap | Container | None  # None: with the rights of your own programs


def choose(trust: bool) -> Walls:
    """What keeps submissions apart here; raises HomeworkError where nothing does, unless `trust` is given."""
    if trust:
        return None
    why = no_bubblewrap()
    if walls := container.find() if why else Bubblewrap():
        return walls
    raise HomeworkError(
        f"Submissions run code of their own, {why}, and neither Docker nor Podman answers: start or install one of "
        "these, or call with TRUST=1."
    )


def no_bubblewrap() -> str:
    """Why bubblewrap cannot be used here; empty where it can."""
    if sys.platform != "linux":
        return "only Linux has bubblewrap"
    if shutil.which("bwrap") is None:
        return "this machine has no bubblewrap (Debian: apt install bubblewrap)"
    trial = subprocess.run([*_bubblewrap(None), "/bin/true"], capture_output=True, text=True, check=False)
    return f"bubblewrap does not work here ({trial.stderr.strip()})" if trial.returncode else ""


class Process:
    """A player's process (grading/player.py), behind `walls`; and the line to it.

    `start_preloaded` makes it start quickly.
    """

    preloaded: socket.socket | None = None  # to the process that forks players; workers are forked with it

    def __init__(self, handed_in: Path, characters: int, memory: int, threads: int, walls: Walls) -> None:
        self.scratch, self.walls, self.memory, self.name = tempfile.TemporaryDirectory(), walls, memory, ""
        forks = self.preloaded and not isinstance(walls, Container)
        if not (forks and self._fork(handed_in, characters, threads)):
            self._start(handed_in, characters, threads)

    @classmethod
    def start_preloaded(cls) -> None:
        """Let later players be forks of a process that has imported what they need."""
        cls.preloaded, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            program = [sys.executable, str(HERE / "preloaded.py")]
            subprocess.Popen(program, stdin=theirs, **_apart(1, "/tmp"), stdout=DEVNULL)

    def _start(self, handed_in: Path, characters: int, threads: int) -> None:
        options = _apart(threads, "/tmp" if self.walls else self.scratch.name)
        program = [sys.executable, str(HERE / "player.py")]
        if self.walls is None:
            program = [*program, str(handed_in)]
        elif isinstance(self.walls, Container):
            self.name = self.walls.new_name()
            limits = (self.memory, SCRATCH_BYTES, MOST_PROCESSES)
            program = self.walls.command(self.name, handed_in, options.pop("env"), *limits)
        else:
            program = [*_bubblewrap(handed_in), *program, "/handed_in"]
        self.process = subprocess.Popen(
            [*program, str(characters), str(SCRATCH_BYTES)],
            stdin=PIPE,
            stdout=PIPE,
            cwd=self.scratch.name,
            **options,
        )
        self.writes, self.reads = self.process.stdin, self.process.stdout
        self.heads = [psutil.Process(self.process.pid)]  # whose families are the member's

    def _fork(self, handed_in: Path, characters: int, threads: int) -> bool:
        """`cat`, behind walls which stand until its input ends, and a fork beside it; False where that fails."""
        folder = "/tmp" if self.walls else self.scratch.name
        request = {"handed_in": "/handed_in" if self.walls else str(handed_in), "folder": folder}
        request |= {"characters": characters, "file_size": SCRATCH_BYTES, "threads": threads}
        request["environment"] = environment(threads, folder)
        walls = _bubblewrap(handed_in) if self.walls else []
        self.process = subprocess.Popen([*walls, "cat"], stdin=PIPE, stdout=PIPE, **_apart(threads, folder))
        (reads, to_player), (from_player, writes), (hears, told) = os.pipe(), os.pipe(), os.pipe()
        self.writes, self.reads = os.fdopen(to_player, "wb"), os.fdopen(from_player, "rb")
        files = [reads, writes, os.dup(self.process.stdin.fileno()), told]
        with os.fdopen(hears, "rb") as heard:
            with contextlib.suppress(OSError, IndexError, psutil.Error), self.process.stdin as to_cat:
                to_cat.write(b"\n")
                to_cat.flush()
                self.process.stdout.readline()  # the walls stand
                if self.walls:
                    within = psutil.Process(self.process.pid).children(recursive=True)[-1].pid
                    files.append(os.pidfd_open(within))
                socket.send_fds(self.preloaded, [json.dumps(request).encode()], files)
            for file in files:
                os.close(file)
            number = heard.read()
        self.heads = [psutil.Process(self.process.pid)]
        with contextlib.suppress(psutil.Error, ValueError):
            self.heads.append(psutil.Process(int(number)))
        if not number:
            self._kill()
        return bool(number)

    def end(self) -> None:
        self._kill()
        with contextlib.suppress(OSError):
            self.writes.close()
        self.scratch.cleanup()

    def verdict(self) -> str:
        """What the walls know of why it ended; empty where nothing."""
        out_of_memory = self.name and self.walls.out_of_memory(self.name)
        return _too_much(self.memory) if out_of_memory else ""

    def _kill(self) -> None:
        if self.name:
            self.walls.remove(self.name)
        for head in self.heads:
            end(head.pid)
        self.process.wait()
        psutil.wait_procs(self.heads, timeout=10)


def _apart(threads: int, scratch: str) -> dict:
    return {"stderr": DEVNULL, "env": environment(threads, scratch), "start_new_session": True}


def environment(threads: int, scratch: str) -> dict[str, str]:
    """What the player's process knows of yours: no secret, and where it may write."""
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "HOME": scratch,
        "OMP_NUM_THREADS": str(threads),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": scratch,
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "NBGRADER_EXECUTION": "autograde",
    }
    return {**own, **{name: os.environ[name] for name in PASSED_ON if name in os.environ}}


@cache
def _bubblewrap(handed_in: Path | None) -> list[str]:
    walls = ["bwrap", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    walls += ["--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in NEEDED:
        if os.path.islink(path):
            walls += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            walls += ["--ro-bind", path, path]
    if os.path.isdir("/usr/local/share/nbgrader"):
        walls += ["--tmpfs", "/usr/local/share/nbgrader"]  # where a class exchanges its homework
    walls += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/dev/shm"):
        walls += ["--size", str(SCRATCH_BYTES), "--tmpfs", path]
    for path in NEEDED_FILES:
        walls += ["--ro-bind-try", path, path]
    for path in dict.fromkeys([sys.base_prefix, sys.prefix]):
        walls += [] if Path(path).is_relative_to("/usr") else ["--ro-bind", path, path]
    for path in (ROOT / "course_utils", ROOT / "data", HERE):
        walls += ["--ro-bind", str(path), str(path)]
    walls += ["--ro-bind", str(handed_in), "/handed_in"] if handed_in else []
    for path in ("/proc", "/dev", "/"):  # root could write settings of the kernel into /proc/sys
        walls += ["--remount-ro", path]
    return [*walls, "--chdir", "/tmp"]


class Watch(threading.Thread):
    """Ends a process and its children where they hold more memory, or are more, than they may.

    `verdict` then says so.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.heads, self.memory, self.verdict = process.heads, process.memory, ""
        self.ended = threading.Event()

    def run(self) -> None:
        tick = 0
        while not self.ended.wait(0.1):
            with contextlib.suppress(psutil.Error):
                if tick % 5 == 0:  # looks through all processes of the machine
                    family = [each for head in self.heads for each in (head, *head.children(recursive=True))]
                tick += 1
                held = 0
                for process in family:
                    with contextlib.suppress(psutil.Error):
                        held += process.memory_info().rss
                if held > self.memory:
                    self.verdict = _too_much(self.memory)
                elif len(family) > MOST_PROCESSES:
                    self.verdict = f"started more than {MOST_PROCESSES} processes"
                if self.verdict:
                    for head in self.heads:
                        end(head.pid)
                    return


def _too_much(memory: int) -> str:
    return f"needed more than {memory / 1e9:.0f} GB of memory"


def end(pid: int) -> None:
    """End a process and all its children, at once."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
