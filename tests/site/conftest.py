"""One built site for all tests of it, served under a sub-path."""

import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import labdriver
import pytest

ROOT = labdriver.ROOT


@pytest.fixture(scope="session")
def build():
    """A function that builds the site into a folder and returns it."""

    def build_into(out: Path) -> Path:
        subprocess.run(["sh", str(ROOT / "tools" / "site.sh"), str(out)], check=True, cwd=ROOT)
        return out

    return build_into


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Visit:
    """Pages of the site in a browser; `faults` collects console errors, uncaught ones and requests elsewhere."""

    def __init__(self, browser, base: str) -> None:
        self.browser, self.base, self.faults, self.pages, self.used = browser, base, [], {}, set()

    def open(self, path: str, width: int = 1280, theme: str = "light", script: str = "", **options):
        """The page at the path, which takes the place of the last one that was opened alike; `script` runs first."""
        kind = (width, theme, script, *sorted(options.items()))
        page = self.pages.get(kind) or self._page(*kind[:3], options)
        self.pages[kind] = page
        self.used.add(page)
        address = path if "://" in path else self.base + path
        if page.url.split("#")[0] == address.split("#")[0]:
            page.goto("about:blank")  # else other settings of the same page load nothing
        page.goto(address)
        return page

    def _page(self, width: int, theme: str, script: str, options: dict):
        size = {"width": width, "height": 900}
        page = self.browser.new_context(viewport=size, color_scheme=theme, **options).new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(script)
        page.on("console", lambda m: m.type == "error" and self.faults.append(f"{page.url}: {m.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("request", lambda request: self.check(page.url, request.url))
        return page

    def check(self, path: str, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:", "file:", "about:")):
            self.faults.append(f"{path} asks for {url}")

    def leave(self) -> None:
        """End what runs in the pages; nothing may have gone wrong in them."""
        for page in self.used:
            page.goto("about:blank")
        self.used, faults, self.faults = set(), self.faults, []
        assert faults == []


@pytest.fixture(scope="session")
def site(build, tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("served") / "some" / "where")


@pytest.fixture(scope="session")
def base(site) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site.parents[1]))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/where/"
    server.shutdown()


@pytest.fixture(scope="session")
def reader(browser, base):
    """Keeps its pages between tests: to open one anew costs more than most tests do in it."""
    return Visit(browser, base)


@pytest.fixture
def visit(reader):
    """`visit.open("index.html", width=390)`; at the end nothing may have gone wrong."""
    yield reader
    reader.leave()


@pytest.fixture(scope="session")
def workbench(browser, base):
    """A page on which Python has started, once for all tests that `put` an explorer there."""
    visit = Visit(browser, base)
    yield visit.open("explorers/conv.html")
    visit.leave()
