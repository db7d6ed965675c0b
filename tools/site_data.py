"""Measure anew what the site's explorers show of torch, into site/data: python tools/site_data.py (some minutes)."""

import json
from pathlib import Path

from course_utils.explorers.measured import EXPORTED, MEASURED, export

DATA = Path(__file__).resolve().parents[1] / "site" / "data"
PHOTOS = ("koala",)  # whose effective fields the site brings; each photo takes minutes and 150 kB


def main() -> None:
    export(DATA, [kind for kind in EXPORTED if kind != "effective"])
    keys = (key for key in EXPORTED["effective"]() if key.split("/")[1] in PHOTOS)
    # One file here, a field a line; the build cuts it into those that a page fetches.
    lines = (f"{json.dumps(key)}:{json.dumps(MEASURED[key], separators=(',', ':'))}" for key in keys)
    (DATA / "effective.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
