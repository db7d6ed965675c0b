"""Each lecture notebook from a clean kernel: seconds and the most memory its kernel held, once each.

Goals: 180 s, under 2 GB.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench_table import ROOT, attempt, row

SECONDS, GIGABYTES = 180, 2
COPIES = ROOT / "build" / "executed"


def run(path: Path) -> dict:
    """The measures that tools/execute.py stores beside the copy it makes."""
    measures = COPIES / f"{path.stem}.json"
    measures.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "tools" / "execute.py"), path.stem, "--copies", str(COPIES)]
    ended = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().splitlines()[-1])
    return json.loads(measures.read_text())


def notebook_row(path: Path) -> dict:
    """Seconds, with the memory in the note."""
    measures = run(path)
    gigabytes = measures["peak_bytes"] / 1e9
    each = row(
        f"Notebook {path.stem}",
        measures["seconds"],
        unit="s",
        goal=f"ours <= {SECONDS}",
        note=f"peak memory {gigabytes:.2f} GB (goal {GIGABYTES})",
    )
    each["met"] = each["met"] and gigabytes < GIGABYTES
    return each


def rows(lectures: str = "123456") -> Iterator[dict]:
    """A row for each lecture of which the number is among the digits."""
    for path in sorted((ROOT / "notebooks").glob(f"0[{lectures}]_*.ipynb")):
        yield from attempt(f"notebooks: {path.stem}", lambda path=path: notebook_row(path))
