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
        self.browser, self.base, self.faults, self.contexts = browser, base, [], []

    def open(self, path: str, width: int = 1280, theme: str = "light", python: bool = True, **options):
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, **options
        )
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda m: m.type == "error" and self.faults.append(f"{path}: {m.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"{path}: {error}"))
        page.on("request", lambda request: self.check(path, request.url))
        if not python:  # its file never comes, which a page bears
            page.route("**/*.wasm", lambda route: None)
        page.goto(path if "://" in path else self.base + path)
        return page

    def check(self, path: str, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:", "file:")):
            self.faults.append(f"{path} asks for {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.faults == []


@pytest.fixture(scope="session")
def site(build, tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("served") / "some" / "where")


@pytest.fixture(scope="session")
def base(site) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site.parents[1]))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/where/"
    server.shutdown()


@pytest.fixture
def visit(browser, base):
    """`visit.open("index.html", width=390)`; at the end nothing may have gone wrong."""
    visit = Visit(browser, base)
    yield visit
    visit.close()


@pytest.fixture(scope="session")
def workbench(browser, base):
    """A page on which Python has started, once for all tests that `put` an explorer there."""
    visit = Visit(browser, base)
    yield visit.open("explorers/conv.html")
    visit.close()
