"""Build the site from the stored notebooks: python -m sitebuild OUT, with tools on PYTHONPATH; see `make site`."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

from sitebuild import decks, explorers, lectures, pages
from sitebuild.formulas import NPM

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "site"
PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
REVEAL = ("reveal.js", "reveal.css", "reset.css", "plugin/notes.js")
# What theme and myst-nb get wrong: a heading without a level, no keys for what scrolls, a name unlike
# its words; and where a long heading may break.
MENDED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<pre>": '<pre tabindex="0">',
    '_explorer<a class="headerlink"': '_<wbr>explorer<a class="headerlink"',
    ' aria-label="Toggle hidden content"': "",  # its own words say which, and more
}


def build(out: Path) -> None:
    """Write the whole site into the folder `out`; raises PageError where a notebook can't be shown."""
    with tempfile.TemporaryDirectory() as folder:
        source, extra = Path(folder, "source"), Path(folder, "extra")
        for each in (source, extra / "figures", extra / "slides"):
            each.mkdir(parents=True)
        found = [
            lectures.read(path, extra / "figures") for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))
        ]
        for lecture in found:
            (extra / "slides" / f"{lecture.number}.html").write_text(decks.deck(lecture), encoding="utf-8")
        pages.write(source, extra, found, os.environ.get("SITE_REPOSITORY", ""))
        (extra / ".nojekyll").touch()
        static = extra / "_static"
        _copy_packages(static)
        shutil.rmtree(out, ignore_errors=True)
        arguments = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(SITE), "-d", f"{folder}/doctrees"]
        if build_main([*arguments, "-D", f"html_extra_path={extra}", str(source), str(out)]):
            raise lectures.PageError("Sphinx found something wrong (see above).")
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for theirs, ours in MENDED.items():
            text = text.replace(theirs, ours)
        page.write_text(text, encoding="utf-8")
    for left in (".buildinfo", "objects.inv"):
        (out / left).unlink(missing_ok=True)
    shutil.rmtree(out / "_sources", ignore_errors=True)  # empty


def _copy_packages(static: Path) -> None:
    """What comes from npm, and what a reader's Python loads."""
    copied = {NPM / "pyodide" / name: static / "pyodide" / name for name in PYODIDE}
    copied |= {NPM / "reveal.js" / "dist" / name: static / "reveal" / name for name in REVEAL}
    copied |= {NPM / "katex" / "dist" / "katex.min.css": static / "katex" / "katex.min.css"}
    fonts = sorted((NPM / "katex" / "dist" / "fonts").glob("*.woff2"))
    copied |= {font: static / "katex" / "fonts" / font.name for font in fonts}
    for start, end in copied.items():
        end.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(start, end)
    live = static / "live"
    (live / "data" / "effective").mkdir(parents=True)
    for name, text in explorers.data_files().items():
        (live / "data" / name).write_text(text, encoding="utf-8")
    explorers.write_archive(live / "course.zip")
    counted = [*(static / "pyodide").glob("*.wasm"), static / "pyodide" / "python_stdlib.zip"]
    counted += [static / "pyodide" / "pyodide-lock.json", live / "course.zip"]
    (live / "sizes.json").write_text(json.dumps({"total": sum(file.stat().st_size for file in counted)}))


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]).resolve())
    except (lectures.PageError, ValueError) as error:
        sys.exit(str(error))
