"""Run the benchmarks and print one table row by row, also in build/bench.md; `make bench` calls this.

    python benchmarks/bench.py                         # all, about half an hour on two quiet cores
    python benchmarks/bench.py --only metrics,geometry    # each part takes less than ten minutes
    python benchmarks/bench.py --update                # also the table of benchmarks/README.md

Each part is a module bench_PART.py with a function rows(); digits behind its name choose lectures. Ends with
status 1 where a row could not run; a missed goal is a result and no failure.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from bench_table import HEAD, ROOT, attempt, conditions, line, progress, report, update_section

PARTS = ("startup", "explorers", "geometry", "metrics", "training", "speed", "homework", "site")
PARTS += ("notebooks12", "notebooks34", "notebooks56")
DIGITS = "0123456789"
OUT, PAGE = ROOT / "build" / "bench.md", ROOT / "benchmarks" / "README.md"


def chosen_parts(only: str) -> list[str]:
    """The parts that a comma-separated list names, in the order of PARTS; all for an empty one."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in {*PARTS, *(part.rstrip(DIGITS) for part in PARTS)}]
    if unknown:
        raise ValueError(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    return [name for name in PARTS if not wanted or name in wanted or name.rstrip(DIGITS) in wanted]


def rows_of(part: str) -> Iterable[dict]:
    """What one part measures, as it comes."""
    name = part.rstrip(DIGITS)
    module = importlib.import_module(f"bench_{name}")
    return module.rows(part.removeprefix(name)) if name != part else module.rows()


def measure(parts: list[str], out: Path) -> tuple[list[dict], str]:
    """All rows and the conditions; each is printed and in `out` at once, so that an interrupt leaves the rest."""
    load, start, rows = os.getloadavg()[0], time.monotonic(), []
    about = conditions(load)
    out.parent.mkdir(parents=True, exist_ok=True)
    print(HEAD)
    for part in parts:
        for row in attempt(part, lambda part=part: rows_of(part)):
            print(line(row), flush=True)
            rows.append(row)
            out.write_text(report(rows, about, parts, (time.monotonic() - start) / 60))
    return rows, about


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--update", action="store_true", help="also write the table of benchmarks/README.md")
    options = parser.parse_args(arguments)
    try:
        parts = chosen_parts(options.only)
        if options.update:
            if len(parts) < len(PARTS):
                raise ValueError("The page shows a whole run: use UPDATE=1 without ONLY.")
            update_section(PAGE.read_text(encoding="utf-8"), [], "")  # says now if it cannot be done
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rows, about = measure(parts, OUT)
    progress(f"written to {OUT.relative_to(ROOT)}")
    if not all(each["ran"] for each in rows):
        print("Some rows could not run, see the table; benchmarks/README.md is as it was.", file=sys.stderr)
        return 1
    if options.update:
        text = update_section(PAGE.read_text(encoding="utf-8"), rows, about)
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
