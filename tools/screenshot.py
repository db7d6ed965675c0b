"""Pictures of a notebook as JupyterLab shows it, page by page, for looking at figures and explorers.

    python tools/screenshot.py notebooks/01_image_classification.ipynb              # as stored on disk
    python tools/screenshot.py notebooks/01_image_classification.ipynb --run       # run all cells first
    python tools/screenshot.py notebooks/01_image_classification.ipynb --run --cells 0 3 12   # only these
    python tools/screenshot.py NOTEBOOK --width 900 --theme dark --height 1600

Writes build/screenshots/NAME-THEME-WIDTH-01.png, -02.png, ... and prints their paths. The notebook itself
is not touched: JupyterLab works on a copy. `--cells` are indices into all cells, prose counted; with it
the pictures show these cells, one file each. Any notebook will do, also a scratch one outside of the tree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labdriver import SCREENSHOTS, THEMES, LabPage, LabServer, open_browser

OVERLAP = 40  # pixels that two neighbouring pages share, so that no line of text is cut in both


def page_by_page(lab: LabPage, stem: str) -> list[Path]:
    """Scroll through the notebook and picture each viewport of it."""
    scroller = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer")
    visible, total = scroller.evaluate("node => [node.clientHeight, node.scrollHeight]")
    paths, top = [], 0
    while True:
        scroller.evaluate("(node, top) => node.scrollTo(0, top)", top)
        lab.page.wait_for_timeout(300)
        paths.append(lab.screenshot(f"{stem}-{len(paths) + 1:02d}", scroller))
        top += visible - OVERLAP
        if top + OVERLAP >= total:
            return paths


def cell_by_cell(lab: LabPage, stem: str, cells: list[int]) -> list[Path]:
    """Picture each of some cells, whole."""
    paths = []
    for index in cells:
        cell = lab.scroll_to_cell(index)
        lab.page.wait_for_timeout(300)
        paths.append(lab.screenshot(f"{stem}-cell{index:03d}", cell))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--width", type=int, default=1280, help="of the browser window in pixels")
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--theme", choices=THEMES, default="light")
    parser.add_argument("--run", action="store_true", help="run the cells first")
    parser.add_argument("--cells", type=int, nargs="+", help="only these cells")
    options = parser.parse_args()
    stem = f"{options.notebook.stem}-{options.theme}-{options.width}"
    for old in SCREENSHOTS.glob(f"{stem}-*.png"):
        old.unlink()
    with LabServer([options.notebook]) as server, open_browser() as browser:
        lab = LabPage(browser, server, options.width, options.height, options.theme)
        lab.open_notebook(options.notebook.name)
        if options.run and options.cells:
            lab.run_cells(options.cells)
        elif options.run:
            lab.run_all()
        lab.page.wait_for_timeout(1000)
        paths = cell_by_cell(lab, stem, options.cells) if options.cells else page_by_page(lab, stem)
        print(*paths, sep="\n")
        print(*(f"console: {error}" for error in lab.console_errors), sep="\n")
        lab.close()


if __name__ == "__main__":
    main()
