"""The site: building it, what a reader waits for and fetches, and a move beside the same move in JupyterLab.

Pages come from a local server that does not compress; bytes are given as a compressing host would send them.
"""

import gzip
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
from bench_table import ROOT, attempt, progress, row
from nbformat.v4 import new_code_cell, new_notebook

sys.path.append(str(ROOT / "tools"))
from labdriver import LabPage, LabServer, open_browser

MOVES, KEYS = 200, 30
LECTURE = "lectures/01_image_classification.html"
PICTURES = (".webp", ".jpeg", ".png", ".svg")
# Moves a slider up and down and waits, without keeping the processor busy, for each picture to be in the page.
MOVE = """async moves => {
  const explorer = document.querySelector("course-explorer"), times = [];
  for (let n = 0; n < moves; n++) await new Promise(done => {
    const start = performance.now();
    new MutationObserver((_, observer) => {
      times.push(performance.now() - start);
      observer.disconnect();
      done();
    }).observe(explorer.picture, { childList: true });
    explorer.move("padding", n % 12);
  });
  return times;
}"""
# Notes in `waits` the milliseconds from each key to the next change of the picture.
WATCH = """picture => {
  window.waits = [];
  let start = null;
  addEventListener("keydown", () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    if (start !== null) window.waits.push(performance.now() - start);
    start = null;
  }).observe(picture, { childList: true, subtree: true, attributes: true });
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def build(folder: Path) -> dict:
    start = time.perf_counter()
    subprocess.run(["sh", str(ROOT / "tools" / "site.sh"), str(folder)], check=True, cwd=ROOT)
    seconds = time.perf_counter() - start
    return row("make site, once its packages are there", seconds, unit="s", goal="ours <= 60", note="once")


def weights(folder: Path) -> Iterator[dict]:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    yield row("The whole site", size / 1e6, unit="MB", goal="ours <= 25")


def visits(folder: Path) -> Iterator[dict]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    try:
        with open_browser() as browser:
            yield from lecture(browser, base)
            yield from explorer(browser, base)
            yield further(browser, base)
    finally:
        server.shutdown()


def lecture(browser, base: str) -> Iterator[dict]:
    """Seconds to the first picture, and the bytes that come before any picture."""
    seconds, fetched = [], {}
    for _ in range(5):
        page = browser.new_page()
        page.on("response", lambda answer: fetched.setdefault(answer.url, answer))
        start = time.perf_counter()
        page.goto(base + LECTURE, wait_until="commit")
        page.wait_for_function("() => [...document.images].some(i => i.complete && i.naturalWidth)")
        seconds.append(time.perf_counter() - start)
        page.wait_for_load_state()
        if len(seconds) == 1:
            texts = [answer.body() for url, answer in list(fetched.items()) if not url.endswith(PICTURES)]
            sent = sum(len(gzip.compress(text)) for text in texts)
            elsewhere = sum(not url.startswith((base, "data:")) for url in fetched)
        page.close()
    yield row("A lecture's page to its first picture", statistics.median(seconds), unit="s", goal="ours <= 1")
    yield row("A lecture's page before its pictures, compressed", sent / 1e3, unit="kB", goal="ours <= 150")
    yield row("Requests to other hosts", elsewhere, unit="", goal="ours <= 0")


def explorer(browser, base: str) -> Iterator[dict]:
    """Seconds from the page's start to a live explorer in an empty browser, then of each move."""
    seconds = []
    for _ in range(3):
        page = browser.new_context().new_page()
        start = time.perf_counter()
        page.goto(base + "explorers/conv.html", wait_until="commit")
        page.wait_for_function("() => document.querySelector('course-explorer')?.shown", timeout=120_000)
        seconds.append(time.perf_counter() - start)
    yield row(
        "conv_explorer's page to a live explorer", statistics.median(seconds), unit="s", goal="ours <= 4"
    )
    moves, note = page.evaluate(MOVE, MOVES), f"a million additions in this machine's Python: {loop():.0f} ms"
    what = "A move of conv_explorer in the page"
    yield row(what, statistics.median(moves), unit="ms", goal="ours <= 16", note=note)
    page.evaluate(f"({WATCH})(document.querySelector('course-explorer').picture)")
    ours = key_to_picture(page, page.locator('course-explorer input[name="padding"]'))
    what = "conv_explorer: from a key to the picture, in the page; theirs: in JupyterLab"
    yield row(what, ours, in_jupyterlab(browser), unit="ms", goal="ours <= 16")


def loop() -> float:
    """Milliseconds of a million additions here: what quicker machines need less."""
    start, total = time.perf_counter(), 0
    for n in range(1_000_000):
        total += n
    return 1e3 * (time.perf_counter() - start)


def further(browser, base: str) -> dict:
    """Seconds from the click to a live explorer where another one of the page is live."""
    page = browser.new_page()
    page.goto(base + "lectures/02_receptive_fields.html")
    for name in ("conv", "network"):
        start = time.perf_counter()
        page.locator(f'course-explorer[name="{name}"] button.start').click()
        page.wait_for_function(
            "name => document.querySelector(`course-explorer[name=${name}]`).shown", arg=name, timeout=120_000
        )
    return row("A further explorer of a page", time.perf_counter() - start, unit="s", goal="ours <= 1")


def key_to_picture(page, slider) -> float:
    """Median milliseconds from an arrow key on a slider to the next picture."""
    slider.focus()
    for n in range(KEYS):
        page.keyboard.press("ArrowLeft" if n % 2 else "ArrowRight")
        page.wait_for_function("n => window.waits.length > n", arg=n)
    return statistics.median(page.evaluate("window.waits"))


def in_jupyterlab(browser) -> float:
    """The same of the explorer in a notebook."""
    source = "from course_utils.explorers import conv_explorer\n\nconv_explorer()"
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder, "one.ipynb")
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # or JupyterLab asks for one
        nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=kernel), notebook)
        with LabServer([notebook]) as server:
            lab = LabPage(browser, server)
            lab.open_notebook(notebook.name)
            lab.run_cells([0])
            lab.page.locator(".widget-html:has(svg)").evaluate(WATCH)
            padding = lab.page.locator(".widget-hslider", has_text="padding").get_by_role("slider")
            found = key_to_picture(lab.page, padding)
            lab.close()
    return found


def rows() -> Iterator[dict]:
    """Building, weights, visits."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "site"
        progress("site: building")
        yield from attempt("site: make site", lambda: build(folder))
        yield from attempt("site: weights", lambda: weights(folder))
        yield from attempt("site: visits", lambda: visits(folder))
