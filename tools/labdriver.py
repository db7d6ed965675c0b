"""A real JupyterLab in a real browser, for the browser tests and for `tools/screenshot.py`.

with LabServer([Path("notebooks/01_image_classification.ipynb")]) as server, open_browser() as browser:
    lab = LabPage(browser, server, width=1280, theme="light")
    lab.open_notebook("01_image_classification.ipynb")
    lab.run_all()
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
LECTURES = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
JUPYTER = ROOT / "tools" / "jupyter"
SCREENSHOTS = ROOT / "build" / "screenshots"
PATIENCE = 600  # seconds for whatever is waited for, training apart: on a busy machine all takes long
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_ARGUMENTS = [
    "--no-sandbox",  # Chromium's own needs more rights than a container has
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
# Messages of JupyterLab 4.6 itself on every start, with or without a notebook of this course.
HARMLESS_CONSOLE = re.compile(r"favicon|ResizeObserver loop")
# JupyterLab's own too, seen once in some twenty runs: an output that is replaced was gone already. The course
# brings no JavaScript, and the tests look at what the page shows after it.
HARMLESS_UNCAUGHT = re.compile(r"Failed to execute 'removeChild' on 'Node'")


def find_browser() -> str | None:
    """Path of the first Chromium or Chrome on PATH, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium; raises FileNotFoundError where there is none on PATH."""
    executable = find_browser()
    if executable is None:
        raise FileNotFoundError(f"No browser on PATH: one of {', '.join(BROWSERS)} is needed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LabServer:
    """JupyterLab, or Notebook, with the course's settings, on copies of notebooks, with a home of its own.

    The copies lie side by side in a temporary `notebooks` folder next to a link to `data`; nothing is
    written outside of that folder. `environment` adds variables, `application` is "jupyterlab" or "notebook".
    `url` and `token` are set once the server answers.
    """

    def __init__(
        self,
        notebooks: list[Path],
        environment: Mapping[str, str] | None = None,
        application: str = "jupyterlab",
    ) -> None:
        self.environment, self.application = environment or {}, application
        self.folder = Path(tempfile.mkdtemp(prefix="lab-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.folder / "course" / "notebooks").mkdir(parents=True)
        (self.folder / "course" / "data").symlink_to(ROOT / "data")
        for notebook in notebooks:
            shutil.copy(notebook, self.folder / "course" / "notebooks")

    def __enter__(self) -> LabServer:
        command = [sys.executable, "-m", self.application, "--no-browser", f"--port={self.port}"]
        command += [f"--config={JUPYTER / 'jupyter_lab_config.py'}", "--ServerApp.port_retries=0"]
        command.append(f"--LabServerApp.app_settings_dir={self._settings()}")
        command += ["--expose-app-in-browser", "--ServerApp.open_browser=False"]
        if hasattr(os, "getuid") and os.getuid() == 0:
            command.append("--allow-root")
        self.log = (self.folder / "server.log").open("w")
        self.process = subprocess.Popen(
            command, cwd=self.folder / "course", env=self._environment(), stdout=self.log, stderr=self.log
        )
        try:
            self.token = self._wait_for_token()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def address(self, name: str) -> str:
        """Where a browser finds `notebooks/name`."""
        page = "lab/tree" if self.application == "jupyterlab" else "notebooks"
        return f"{self.url}/{page}/notebooks/{name}?token={self.token}&reset"

    def _settings(self) -> Path:
        """The course's settings, but no saving unasked, and every cell in the document, also far from the window."""
        settings = json.loads((JUPYTER / "overrides.json").read_text())
        settings.setdefault("@jupyterlab/docmanager-extension:plugin", {})["autosave"] = False
        settings["@jupyterlab/notebook-extension:tracker"] = {"windowingMode": "none"}
        (self.folder / "settings").mkdir()
        (self.folder / "settings" / "overrides.json").write_text(json.dumps(settings))
        shutil.copy(JUPYTER / "page_config.json", self.folder / "settings")
        return self.folder / "settings"

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir()
        names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        own = {name: str(home / name.lower()) if name != "HOME" else str(home) for name in names}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        # A test run from a course checkout looks at that checkout, installed or not.
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
        return {
            **kept,
            **own,
            "MPLCONFIGDIR": str(home / "matplotlib"),
            "PYTHONPATH": path,
            **self.environment,
        }

    def _wait_for_token(self, seconds: float = PATIENCE) -> str:
        runtime = self.folder / "home" / "jupyter_runtime_dir"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            for file in runtime.glob("jpserver-*.json"):
                with contextlib.suppress(ValueError, KeyError, OSError):
                    token = json.loads(file.read_text())["token"]
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    return token
            time.sleep(0.1)
        self.log.flush()
        raise RuntimeError(f"JupyterLab did not start:\n{(self.folder / 'server.log').read_text()[-3000:]}")


class LabPage:
    """One browser tab with JupyterLab or Notebook, the file browser closed, and one notebook in it.

    `console_errors` collects what the page wrote to the console as an error, and exceptions nobody caught.
    """

    def __init__(
        self, browser: Browser, server: LabServer, width: int = 1280, height: int = 900, theme: str = "light"
    ) -> None:
        self.server = server
        self.theme = theme
        self.console_errors: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
        )
        self.context.set_default_timeout(1000 * PATIENCE)
        expect.set_options(1000 * PATIENCE)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_uncaught)

    def close(self) -> None:
        self._shut_kernels_down()
        self.context.close()

    def _on_console(self, message: object) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not HARMLESS_CONSOLE.search(text):
            self.console_errors.append(text)

    def _on_uncaught(self, error: object) -> None:
        if not HARMLESS_UNCAUGHT.search(str(error)):
            self.console_errors.append(f"uncaught: {error.stack or error}")

    def _shut_kernels_down(self) -> None:
        with contextlib.suppress(Exception):
            self._js("app => app.serviceManager.sessions.shutdownAll()")

    def _js(self, function: str, argument: object = None) -> object:
        return self.page.evaluate(f"argument => ({function})(window.jupyterapp, argument)", argument)

    def open_notebook(self, name: str) -> None:
        """Show `notebooks/name` with its kernel idle; the page then lists every cell."""
        self.page.goto(self.server.address(name))
        self.page.wait_for_function(
            """() => { const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
                       return context?.isReady && context.session?.kernel?.status === "idle"; }"""
        )
        self._js("app => app.shell.collapseLeft()")
        self.set_theme(self.theme)
        self._wait_for_cells()

    def open_beside(self, name: str) -> None:
        """Show another notebook in a further tab of the same page."""
        self._js(
            """async (app, path) => { const panel = await app.commands.execute("docmanager:open", { path });
                                      await panel.context.ready; await panel.sessionContext.ready; }""",
            f"notebooks/{name}",
        )
        self.wait_until_idle()
        self._wait_for_cells()

    def save(self) -> Path:
        """Save the notebook in front, and return its file."""
        self._js("app => app.commands.execute('docmanager:save')")
        return self.server.folder / "course" / str(self._js("app => app.shell.currentWidget.context.path"))

    def _wait_for_cells(self) -> None:
        cells = self._js("app => app.shell.currentWidget.content.model.cells.length")
        expect(self.notebook.locator(".jp-Cell")).to_have_count(cells)

    def set_theme(self, theme: str) -> None:
        """Switch to `light` or `dark`."""
        if theme not in THEMES:
            raise ValueError(f"theme is {theme!r}: it must be one of {', '.join(THEMES)}.")
        self._js("(app, theme) => app.commands.execute('apputils:change-theme', { theme })", THEMES[theme])
        is_light = "true" if theme == "light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light={is_light}]", state="attached")
        self.theme = theme

    @property
    def notebook(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")

    def cell(self, index: int) -> Locator:
        """The cell at `index` of the notebook, prose cells counted."""
        return self.notebook.locator(".jp-Cell").nth(index)

    def scroll_to_cell(self, index: int) -> Locator:
        """Bring a cell to the top of the viewport and return it."""
        self._js("async (app, i) => app.shell.currentWidget.content.scrollToItem(i, 'start')", index)
        self.cell(index).scroll_into_view_if_needed()
        return self.cell(index)

    def run_cells(self, indices: list[int], seconds: float = PATIENCE) -> None:
        """Run cells in the order given, each until its kernel has answered; an error stops with AssertionError."""
        for index in indices:
            self._js(
                """async (app, i) => { app.shell.currentWidget.content.activeCellIndex = i;
                                       app.shell.currentWidget.content.deselectAll();
                                       await app.commands.execute("notebook:run-cell"); }""",
                index,
            )
            self.wait_until_idle(seconds)
            errors = self.error_outputs()
            assert not errors, f"cell {index} ended in an error: {errors[0]}"

    def run_all(self, seconds: float = PATIENCE) -> None:
        """Run every cell from a fresh kernel's state, as Run > Run All Cells does."""
        self._js("app => { app.commands.execute('notebook:run-all-cells'); }")
        self.wait_until_idle(seconds)
        errors = self.error_outputs()
        assert not errors, f"a cell ended in an error: {errors[0]}"

    def wait_until_idle(self, seconds: float = PATIENCE) -> None:
        """Wait until no cell waits for the kernel and the kernel is idle."""
        self.page.wait_for_function(
            """() => { const panel = window.jupyterapp.shell.currentWidget;
                       const cells = [...panel.content.model.cells].filter(cell => cell.type === "code");
                       return panel.sessionContext.session?.kernel?.status === "idle"
                           && cells.every(cell => cell.executionState !== "running"); }""",
            timeout=seconds * 1000,
            polling=200,
        )

    def code_cells(self) -> list[dict]:
        """Index, tags and source of every code cell."""
        return self._js(
            """app => [...app.shell.currentWidget.content.model.cells].map((cell, index) =>
                 ({ index, type: cell.type, tags: cell.getMetadata("tags") ?? [],
                    source: cell.sharedModel.getSource() })).filter(cell => cell.type === "code")"""
        )

    def error_outputs(self) -> list[str]:
        """Texts of the error outputs of all cells."""
        return self._js(
            """app => [...app.shell.currentWidget.content.model.cells].flatMap(cell =>
                 cell.type === "code" ? cell.outputs.toJSON() : [])
                 .filter(output => output.output_type === "error")
                 .map(output => `${output.ename}: ${output.evalue}`)"""
        )

    def screenshot(self, name: str, target: Locator | None = None) -> Path:
        """Write `build/screenshots/name.png` of the page, or of one element, and return its path."""
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (target or self.page).screenshot(path=path)
        return path
