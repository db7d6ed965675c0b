"""Run the benchmarks and write one table, build/bench.md; `make bench` calls this.

    python benchmarks/bench.py                         # all, about 30 minutes on two quiet cores
    python benchmarks/bench.py --only metrics,geometry
    python benchmarks/bench.py --update                # also the section of README.md

Each part is a module bench_PART.py with a function rows(). Ends with status 1 where a row could not run; a
missed goal is a result and no failure.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from bench_table import ROOT, attempt, conditions, progress, report, to_markdown, update_section

PARTS = ("startup", "explorers", "geometry", "metrics", "training", "speed", "notebooks", "homework")
OUT, README = ROOT / "build" / "bench.md", ROOT / "README.md"


def chosen_parts(only: str) -> list[str]:
    """The parts that a comma-separated list names, in the order of PARTS; all for an empty one."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise ValueError(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    return [name for name in PARTS if name in wanted or not wanted]


def measure(parts: list[str], out: Path) -> tuple[list[dict], str]:
    """All rows and the conditions; `out` is written after each part, so that an interrupt leaves the rest."""
    load, start, rows = os.getloadavg()[0], time.monotonic(), []
    about = conditions(load)
    out.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        rows += attempt(part, lambda part=part: importlib.import_module(f"bench_{part}").rows())
        out.write_text(report(rows, about, parts, (time.monotonic() - start) / 60))
    return rows, about


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--update", action="store_true", help="also write the section of README.md")
    options = parser.parse_args(arguments)
    try:
        parts = chosen_parts(options.only)
        if options.update:
            if len(parts) < len(PARTS):
                raise ValueError("The README shows a whole run: use UPDATE=1 without ONLY.")
            update_section(README.read_text(encoding="utf-8"), [], "")  # says now if it cannot be done
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rows, about = measure(parts, OUT)
    print(to_markdown(rows))
    progress(f"written to {OUT.relative_to(ROOT)}")
    if not all(each["ran"] for each in rows):
        print("Some rows could not run, see the table; README.md is as it was.", file=sys.stderr)
        return 1
    if options.update:
        text = update_section(README.read_text(encoding="utf-8"), rows, about)
        README.write_text(text, encoding="utf-8")
    else:
        progress("make bench UPDATE=1 writes such a table into README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
