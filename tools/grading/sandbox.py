"""A process for a member's code that sees Python, the course's package and a scratch folder, and nothing else.

On Linux bubblewrap (the program `bwrap`) makes it: no network, no file of yours, nothing left running.
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
from homework import ROOT

HERE = Path(__file__).resolve().parent
SCRATCH_BYTES = 300_000_000  # of files that one submission may write
MOST_PROCESSES = 64
NEEDED = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
NEEDED_FILES = ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives")
PASSED_ON = ("LANG", "LC_ALL", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "SYSTEMROOT")


def missing() -> str:
    """A sentence that says why submissions cannot be kept apart here, and what to do; empty where they can."""
    begins, ends = "Submissions run code of their own, and", "or call with TRUST=1."
    if sys.platform != "linux":
        return f"{begins} only Linux can keep them apart: grade on such a machine, {ends}"
    if shutil.which("bwrap") is None:
        return f"{begins} this machine has no bubblewrap: install it (Debian: apt install bubblewrap), {ends}"
    trial = subprocess.run([*_walls(None), "/bin/true"], capture_output=True, text=True, check=False)
    if trial.returncode:
        return f"{begins} bubblewrap does not work here ({trial.stderr.strip()}): repair it, {ends}"
    return ""


class Process:
    """A player's process (grading/player.py), behind walls unless `trust` is given; and the line to it.

    `start_preloaded` makes it start quickly.
    """

    preloaded: socket.socket | None = None  # to the process that forks players; workers are forked with it

    def __init__(self, handed_in: Path, characters: int, threads: int, trust: bool) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        if not (self.preloaded and self._fork(handed_in, characters, threads, trust)):
            self._start(handed_in, characters, threads, trust)

    @classmethod
    def start_preloaded(cls) -> None:
        """Let later players be forks of a process that has imported what they need."""
        cls.preloaded, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            program = [sys.executable, str(HERE / "preloaded.py")]
            subprocess.Popen(program, stdin=theirs, **_apart(1, "/tmp"), stdout=DEVNULL)

    def _start(self, handed_in: Path, characters: int, threads: int, trust: bool) -> None:
        program = [sys.executable, str(HERE / "player.py")]
        program = [*program, str(handed_in)] if trust else [*_walls(handed_in), *program, "/handed_in"]
        self.process = subprocess.Popen(
            [*program, str(characters), str(SCRATCH_BYTES)],
            stdin=PIPE,
            stdout=PIPE,
            cwd=self.scratch.name,
            **_apart(threads, self.scratch.name if trust else "/tmp"),
        )
        self.writes, self.reads = self.process.stdin, self.process.stdout
        self.heads = [psutil.Process(self.process.pid)]  # whose families are the member's

    def _fork(self, handed_in: Path, characters: int, threads: int, trust: bool) -> bool:
        """`cat`, behind walls which stand until its input ends, and a fork beside it; False where that fails."""
        folder = self.scratch.name if trust else "/tmp"
        request = {"handed_in": str(handed_in) if trust else "/handed_in", "folder": folder}
        request |= {"characters": characters, "file_size": SCRATCH_BYTES, "threads": threads}
        request["environment"] = environment(threads, folder)
        walls = [] if trust else _walls(handed_in)
        self.process = subprocess.Popen([*walls, "cat"], stdin=PIPE, stdout=PIPE, **_apart(threads, folder))
        (reads, to_player), (from_player, writes), (hears, told) = os.pipe(), os.pipe(), os.pipe()
        self.writes, self.reads = os.fdopen(to_player, "wb"), os.fdopen(from_player, "rb")
        files = [reads, writes, os.dup(self.process.stdin.fileno()), told]
        with os.fdopen(hears, "rb") as heard:
            with contextlib.suppress(OSError, IndexError, psutil.Error), self.process.stdin as to_cat:
                to_cat.write(b"\n")
                to_cat.flush()
                self.process.stdout.readline()  # the walls stand
                if not trust:
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

    def _kill(self) -> None:
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
def _walls(handed_in: Path | None) -> list[str]:
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

    def __init__(self, process: Process, memory: int) -> None:
        super().__init__(daemon=True)
        self.heads, self.memory, self.verdict = process.heads, memory, ""
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
                    self.verdict = f"needed more than {self.memory / 1e9:.0f} GB of memory"
                elif len(family) > MOST_PROCESSES:
                    self.verdict = f"started more than {MOST_PROCESSES} processes"
                if self.verdict:
                    for head in self.heads:
                        end(head.pid)
                    return


def end(pid: int) -> None:
    """End a process and all its children, at once."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
