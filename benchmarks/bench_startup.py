"""`import course_utils`, and `make lab` until its server answers: cold in a fresh clone, warm, beside jupyter lab.

The cold one clones the last commit into a temporary folder and installs everything into a new .venv there;
what pip has in its cache it need not download again.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench_table import ROOT, attempt, progress, row, side_by_side

IMPORTS, WARM, COLD_LIMIT, WARM_LIMIT = 5, 3, 1500, 120
OF_MAKE = ("MAKE", "MFLAGS", "VENV", "JUPYTER", "IPYTHON", "MPLCONFIG")


def imports(repeats: int) -> dict:
    """A new Python that imports the course, beside one that imports torch alone."""
    commands = [[sys.executable, "-c", f"import {name}"] for name in ("course_utils", "torch")]
    runs = [lambda command=command: subprocess.run(command, cwd=ROOT, check=True) for command in commands]
    seconds = side_by_side(*runs, repeats=repeats)
    return row(
        "import course_utils in a new Python; theirs: import torch", *seconds, unit="s", goal="ratio <= 1.15"
    )


def seconds_to_server(command: list[str], folder: Path, limit: float) -> float:
    """Seconds from a command to the first answer of its JupyterLab; the server is ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        browser = shutil.which("true") or "true"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(OF_MAKE)}
        environment["BROWSER"] = f"{browser} %s"  # opens nothing
        environment |= {f"JUPYTER_{kind}_DIR": home for kind in ("CONFIG", "DATA", "RUNTIME")}
        with (Path(home) / "log").open("w+") as log:
            start = time.perf_counter()
            process = subprocess.Popen(
                [part.format(port=port) for part in command],
                cwd=folder,
                env=environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                while time.perf_counter() - start < limit:
                    if answers(port):
                        return time.perf_counter() - start
                    if process.poll() is not None:
                        break
                    time.sleep(0.05)
                log.seek(0)
                last = next(iter(log.read().strip().splitlines()[-1:]), "nothing")
                raise RuntimeError(f"no server within {limit:.0f} s; the last line was: {last}")
            finally:
                end(process)


def answers(port: int) -> bool:
    """Whether a JupyterLab says its version at this port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2) as answer:
            return "version" in json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def end(process: subprocess.Popen) -> None:
    """Stop the process group that `seconds_to_server` started."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, wanted)
            process.wait(10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def warm(repeats: int) -> dict:
    """`make lab` where everything is installed, beside JupyterLab without the course's settings."""
    course = ["make", "lab", "PORT={port}", f"VENV={sys.prefix}"]
    plain = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port={port}", "--allow-root"]
    seconds: tuple[list[float], list[float]] = [], []
    for number in range(repeats):
        progress(f"startup: warm make lab, {number + 1} of {repeats}")
        for command, times in zip((course, plain), seconds, strict=True):
            times.append(seconds_to_server(command, ROOT, WARM_LIMIT))
    medians = [statistics.median(times) for times in seconds]
    return row("Warm make lab to an answering server; theirs: jupyter lab", *medians, unit="s")


def cold() -> dict:
    """`make lab` in a clone of the last commit, without a .venv."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "course"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        seconds = seconds_to_server(["make", "lab", "PORT={port}"], clone, COLD_LIMIT)
    return row(
        "Cold make lab: fresh clone, new .venv, to an answering server",
        seconds,
        unit="s",
        note="once; with this machine's package index and pip's cache",
    )


def rows(with_cold: bool = True) -> Iterator[dict]:
    """Import, warm, cold."""
    yield from attempt("startup: import course_utils", lambda: imports(IMPORTS))
    yield from attempt("startup: warm make lab", lambda: warm(WARM))
    if with_cold:
        yield from attempt("startup: cold make lab", cold)
