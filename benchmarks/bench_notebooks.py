"""Each lecture notebook from a clean kernel: seconds and the most memory its kernel held, once each.

Goals: 240 s (lecture 6: 300 s), 22 minutes for all six, under 2 GB.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench_table import ROOT, attempt, progress, row

SECONDS, LAST_SECONDS, ALL_SECONDS, GIGABYTES = 240, 300, 22 * 60, 2
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
    goal = LAST_SECONDS if path.name.startswith("06") else SECONDS
    each = row(
        f"Notebook {path.stem}",
        measures["seconds"],
        unit="s",
        goal=f"ours <= {goal}",
        note=f"peak memory {gigabytes:.2f} GB (goal {GIGABYTES})",
    )
    each["met"] = each["met"] and gigabytes < GIGABYTES
    return each


def rows() -> list[dict]:
    """A row per notebook, and their sum where all of them ran."""
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    table = []
    for path in paths:
        table += attempt(f"notebooks: {path.stem}", lambda path=path: notebook_row(path))
    progress(f"notebooks: {len(paths)} done")
    if all(each["ran"] for each in table):
        total = sum(each["ours"] for each in table)
        table.append(row(f"All {len(paths)} notebooks", total, unit="s", goal=f"ours <= {ALL_SECONDS}"))
    return table
