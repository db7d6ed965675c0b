"""The one shape of all benchmarks' rows, and the table made of them.

A row is a dict: `what` is measured, `unit`, `ours`, `theirs` (None where there is no rival), `ratio`
(ours / theirs), `goal` (a sentence such as "ours <= 30" or "ratio >= 5", empty for none), `met` (True, False,
or None without a goal), `note`, and `ran`, False for what could not be measured.
"""

import importlib.metadata
import operator
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import torch

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
WORDS = {"<=": "at most", ">=": "at least", "==": "exactly"}
BEGIN, END = "<!-- bench: written by make bench UPDATE=1 -->", "<!-- /bench -->"
PACKAGES = ("torch", "torchvision", "numpy", "torchmetrics", "scikit-learn", "torchinfo", "torchscan")
PACKAGES += ("matplotlib", "ipywidgets", "jupyterlab")


# Rows


def row(
    what: str, ours: float, theirs: float | None = None, *, unit: str, goal: str = "", note: str = ""
) -> dict:
    """A measured row; `goal` is "ours" or "ratio", a comparison and a number."""
    ratio = None if theirs is None else ours / theirs if theirs else float("inf")
    met = None
    if goal:
        name, comparison, bound = goal.split()
        met = bool(OPERATORS[comparison]({"ours": ours, "ratio": ratio}[name], float(bound)))
    return _row(what, unit, ours, theirs, ratio, goal, met, note, True)


def failed(what: str, sentence: str) -> dict:
    """The row of something that could not be measured."""
    return _row(what, "", None, None, None, "", None, f"could not run: {sentence}", False)


def _row(*values: object) -> dict:
    names = ("what", "unit", "ours", "theirs", "ratio", "goal", "met", "note", "ran")
    return dict(zip(names, values, strict=True))


def attempt(what: str, measure: Callable[[], dict | list[dict]]) -> list[dict]:
    """The rows of `measure`, or one row that says in a sentence why there are none."""
    progress(what)
    try:
        measured = measure()
    except Exception as error:
        traceback.print_exc()
        return [failed(what, next(iter(str(error).strip().splitlines()), "") or type(error).__name__)]
    return measured if isinstance(measured, list) else [measured]


def progress(text: str) -> None:
    """A line on stderr: what is measured now."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# Measuring side by side


def side_by_side(*runs: Callable[[], object], repeats: int, warm_up: bool = True) -> list[float]:
    """Median wall seconds of each of some calls, which take turns so that a slow minute hits all of them."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs if warm_up else ():
        run()
    for _ in range(repeats):
        for run, seconds in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


# The table


def number(value: float | None, unit: str = "") -> str:
    """Three digits and the unit, as people write them; empty for None."""
    if value is None:
        return ""
    if abs(value) >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".strip()


def times(ratio: float | None) -> str:
    """A ratio; small ones as a fraction of one, since "1/20" says more than 0.05."""
    if ratio is None:
        return ""
    return (
        f"1/{number(1 / ratio)}" if 0 < ratio < 0.5 else f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    )


def goal_text(each: dict) -> str:
    """`at most 30 s` for a goal on ours, `ratio at least 5` for one on the ratio."""
    if not each["goal"]:
        return ""
    name, comparison, bound = each["goal"].split()
    if name == "ours":
        return f"{WORDS[comparison]} {number(float(bound), each['unit'])}"
    return f"ratio {WORDS[comparison]} {times(float(bound))}"


def to_markdown(rows: Sequence[dict], notes: bool = True) -> str:
    """The rows as a markdown table; without notes for the README, where only rows that ran have a place."""
    head = ["what", "ours", "theirs", "ours / theirs", "goal", "met", *(["note"] if notes else [])]
    lines = ["| " + " | ".join(head) + " |", "|---|--:|--:|--:|---|---|" + "---|" * notes]
    for each in rows:
        verdict = {True: "yes", False: "**no**", None: ""}[each["met"]] if each["ran"] else "**did not run**"
        values = [number(each["ours"], each["unit"]), number(each["theirs"], each["unit"])]
        cells = [each["what"], *values, times(each["ratio"]), goal_text(each), verdict]
        cells += [each["note"]] if notes else []
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def processor() -> str:
    """The processor's kind, as the system names it."""
    try:
        if sys.platform == "darwin":
            name = subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True
            ).stdout
        else:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            name = next(line.partition(":")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, subprocess.CalledProcessError):
        name = platform.processor()
    return name.strip() or platform.machine()


def conditions(load: float) -> str:
    """What the numbers were measured with: kind of machine, its load before the start, versions, threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} missing")
    return (
        f"{processor()}, {cores} cores, {memory:.0f} GiB of memory, {platform.system()}; "
        f"torch threads: {torch.get_num_threads()}; load {load:.2f} before the start; {time.strftime('%Y-%m-%d')}. "
        f"{', '.join(versions)}.\n"
    )


def report(rows: Sequence[dict], about: str, parts: Sequence[str], minutes: float) -> str:
    """The whole of build/bench.md."""
    missed = sum(each["met"] is False for each in rows)
    broken = sum(not each["ran"] for each in rows)
    summary = f"{len(rows)} rows in {minutes:.0f} minutes: {missed} missed their goal, {broken} did not run."
    return f"# Benchmarks: {', '.join(parts)}\n\n{about}\n{summary}\n\n{to_markdown(rows)}"


def update_section(text: str, rows: Sequence[dict], about: str) -> str:
    """A README with the table between its two comment markers replaced; ValueError where a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The README has no section between the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{to_markdown(rows, notes=False)}\n{about}\n{END}{after}"
