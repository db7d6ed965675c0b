"""Make a homework ready to send: check the notebook in notebooks/homework/mine, copy it to build/handin/NAME/WEEK.

python tools/handin.py week2 "Kim Minji"
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat
from homework import COURSE, ROOT, HomeworkError, weeks


def hand_in(
    prefix: str, name: str, course: Path = COURSE, target: Path = ROOT / "build" / "handin"
) -> list[str]:
    """Write `target/NAME/WEEK/WEEK.ipynb`; where it is and what is still empty, a sentence each.

    Raises HomeworkError where the name cannot be a folder's, no single week begins with `prefix`, mine/ has no
    notebook of this week that can be read, or the notebook there is another week's.
    """
    if name.strip(". ") != name or not 0 < len(name.encode()) <= 200 or not name.isprintable():
        raise HomeworkError(f"NAME={name[:50]!r} cannot be a folder's name everywhere: give a short name.")
    if forbidden := set(name) & set('/\\:*?"<>|'):
        raise HomeworkError(f"NAME={name!r} cannot be a folder's name everywhere: leave out {min(forbidden)}")
    fitting = [week for week in weeks(course) if week.startswith(prefix)] if prefix else []
    if len(fitting) != 1:
        raise HomeworkError(
            f"WEEK={prefix!r} is not one of {', '.join(weeks(course))} (the first letters do)."
        )
    (week,) = fitting
    path = _mine(week, course / "mine")
    answers = _answers(path)
    shares = {each: _share(answers, _answers(_release(each, course))) for each in weeks(course)}
    best = max(shares, key=shares.get)
    if shares[week] < shares[best] or not shares[week]:
        other = f"; it looks like {best}" if shares[best] else ""
        raise HomeworkError(f"{path.name} has not the answer cells of {week}{other}.")
    copy = target / name / week / f"{week}.ipynb"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(path.read_bytes())
    blank = _answers(_release(week, course))
    empty = [
        cell for cell, source in blank.items() if answers.get(cell, source).strip() in ("", source.strip())
    ]
    still = [f"Still empty: {', '.join(empty)}."] if empty else ["Every answer has something in it."]
    return [f"Ready to send: {copy.parent.parent}", *still]


def _release(week: str, course: Path) -> Path:
    return course / "release" / week / f"{week}.ipynb"


def _mine(week: str, folder: Path) -> Path:
    for path in (folder / f"{week}.ipynb", folder / week / f"{week}.ipynb"):
        if path.is_file():
            return path
    there = sorted(path.name for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    found = f"there are {', '.join(there)}" if there else "it has no notebook"
    raise HomeworkError(f"There is no {week}.ipynb in {folder}: {found}.")


def _answers(path: Path) -> dict[str, str]:
    """Source of each answer cell, by its id."""
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception as error:
        raise HomeworkError(
            f"{path.name} is no notebook that can be read; save it in JupyterLab again."
        ) from error
    marked = [(cell.metadata.get("nbgrader", {}), cell.source) for cell in cells]
    return {marks["grade_id"]: source for marks, source in marked if marks.get("solution")}


def _share(answers: dict[str, str], wanted: dict[str, str]) -> float:
    return len((answers.keys() & wanted.keys()) - {"discussion"}) / len(wanted)  # every week has a discussion


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("week", help="the first letters of its name do")
    parser.add_argument("name", help="yours, as the organiser's table is to show it")
    arguments = parser.parse_args()
    try:
        print("\n".join(hand_in(arguments.week, arguments.name)))
    except HomeworkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
