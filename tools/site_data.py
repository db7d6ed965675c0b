"""Measure anew what the site's explorers show of torch, into site/data: python tools/site_data.py (some minutes)."""

import json
import tempfile
from pathlib import Path

from course_utils.explorers.measured import MEASURED, export

DATA = Path(__file__).resolve().parents[1] / "site" / "data"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        export(folder)
        for file in Path(folder).glob("*.json"):
            text = file.read_text(encoding="utf-8")
            if file.stem == "effective":  # one file here; the build cuts it into those that a page fetches
                lines = (f"{json.dumps(key)}:{json.dumps(MEASURED[key])}" for key in json.loads(text))
                text = "{" + ",\n".join(lines) + "}\n"
            (DATA / file.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
