"""Explorers in pages: a call becomes an element with its picture, drawn by the Python that a reader runs."""

import ast
import json
import sys
import zipfile
from functools import cache
from html import escape
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "site" / "data"
LIVE = ROOT / "site" / "live"
WITHOUT_JAVASCRIPT = "The sliders need JavaScript. You see the stored picture."
_numbers = count()


@cache
def live():
    """site/live/live.py, with its own ipywidgets, as in the browser."""
    sys.path[:0] = [str(LIVE), str(ROOT)]
    import live as module

    return module


@cache
def data_files() -> dict[str, str]:
    """The files that a page fetches, by their names: of the effective fields one for each network and photo."""
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(DATA.glob("*.json"))}
    parts: dict[str, dict] = {}
    for key, found in json.loads(files.pop("effective.json")).items():
        parts.setdefault(live().file_of(key), {})[key] = found
    return files | {name: json.dumps(part, ensure_ascii=False) for name, part in parts.items()}


@cache
def data():
    return live().Files(data_files().__getitem__)


def call_of(source: str) -> tuple[str, dict] | None:
    """Name and settings of the explorer that a cell makes, or None where the settings are not written out."""
    last = ast.parse(source).body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    name = (
        call.func.id.removesuffix("_explorer")
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        else ""
    )
    if name not in live().NAMES or call.args:
        return None
    try:
        return name, {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError:
        return None


def element(name: str, settings: dict, attributes: str = "") -> str:
    """The explorer's element, with the picture of its settings inside."""
    picture = (
        live().Live(name, data(), settings).shown()["svg"].replace("__unique__", f"stored-{next(_numbers)}")
    )
    said = escape(json.dumps(settings, ensure_ascii=False), quote=True)
    return (
        f'<course-explorer name="{name}" settings="{said}"{attributes}>{picture}'
        f"<noscript><span>{WITHOUT_JAVASCRIPT}</span></noscript></course-explorer>"
    )


def title(name: str) -> str:
    return live().Live(name, data()).explorer.title


def write_archive(path: Path) -> None:
    """A zip of what a reader's Python imports, the same bytes each time."""
    files = {f"course_utils/{f.relative_to(ROOT / 'course_utils')}": f for f in _sources()}
    files |= {f.name: f for f in sorted(LIVE.glob("*.py"))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.writestr(
                zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), file.read_bytes(), zipfile.ZIP_DEFLATED
            )


def _sources() -> list[Path]:
    """The modules of course_utils that drawing all explorers has loaded, and what they read."""
    for name in live().NAMES:
        live().Live(name, data())
    loaded = (module for name, module in sys.modules.items() if name.split(".")[0] == "course_utils")
    widths = ROOT / "course_utils" / "explorers" / "widths.json"  # which svg reads beside itself
    return sorted([widths, *(Path(module.__file__) for module in loaded)])
