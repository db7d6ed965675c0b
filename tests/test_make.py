"""`make lab` and the set-up behind it: the second call is quick, and whatever went wrong the next call repairs.

The set-up is tried with the real Makefile, scripts and pip on a project of one small package, offline.
"""

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "course-utils"
version = "1.0.0"
"""
# The smallest build backend: hands out a finished wheel, or waits as a long download would.
BACKEND = """
import pathlib, shutil, time
def build_editable(folder, config_settings=None, metadata_directory=None):
    while pathlib.Path("wait").exists():
        pathlib.Path("waiting").touch()
        time.sleep(0.05)
    return shutil.copy("course_utils-1.0.0-py3-none-any.whl", folder).rsplit("/", 1)[1]
"""


def write_wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A wheel with one module, `name`, that holds its version."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)


def start_make(*arguments: str, **options: object) -> subprocess.Popen:
    """`make` in a process group of its own, as a terminal starts it: Ctrl-C works, and no other make's settings."""
    environment = {k: v for k, v in options.pop("env").items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.Popen(
        ["make", *arguments],
        env=environment,
        start_new_session=True,
        **options,
    )


class Project:
    """A course with nothing in it but the set-up, which needs the package `tiny`.

    Its Python makes an environment by copying one that the real Python made once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        once, self.base = folder.with_name("once"), folder.with_name("python")
        subprocess.run([sys.executable, "-m", "venv", once], check=True)
        script = f'case "$1 $2" in "-m venv") exec cp -a "{once}" "$3";; esac'
        self.base.write_text(f'#!/bin/sh\n{script}\nexec "{sys.executable}" "$@"\n')
        self.base.chmod(0o755)
        self.python = folder / ".venv" / "bin" / "python"
        (folder / "tools").mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        for script in ("setup.sh", "mend.py"):
            shutil.copy(ROOT / "tools" / script, folder / "tools")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "constraints.txt").write_text("tiny==1.0\n")
        for version in ("1.0", "2.0"):
            write_wheel(folder, "tiny", version)
        write_wheel(folder, "course_utils", "1.0.0", requires="tiny")
        self.environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder.as_uri()}
        self.environment["PIP_CONFIG_FILE"] = os.devnull

    def start(self, *arguments: str) -> subprocess.Popen:
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = ["setup", f"PYTHON={self.base}", *arguments]
        return start_make(*command, cwd=self.folder, env=self.environment, **out)

    def setup(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of `make setup`."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        return process.returncode, output

    def tiny(self) -> str:
        """The version of `tiny` that the environment imports."""
        code = "import tiny; print(tiny.version)"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def module_project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("a course"))  # with a space in its path, as people have
    status, output = project.setup()
    assert status == 0, output
    assert "Installing" in output
    return project


@pytest.fixture
def project(module_project):
    status, output = module_project.setup()  # whatever the test before left
    assert status == 0, output
    return module_project


def test_the_second_call_does_nothing(project):
    assert project.setup() == (0, "")  # pip would say what it does


def test_new_constraints_are_installed(project):
    (project.folder / "constraints.txt").write_text("tiny==2.0\n")
    assert project.setup()[0] == 0
    assert project.tiny() == "2.0"
    (project.folder / "constraints.txt").write_text("tiny==1.0\n")
    assert project.setup()[0] == 0
    assert project.tiny() == "1.0"


def test_a_failed_install_says_so_and_the_next_call_goes_on(project):
    (project.folder / "constraints.txt").write_text("tiny==3.0\n")
    for _ in range(2):
        status, output = project.setup()
        assert status != 0
        assert "call make again" in output
    (project.folder / "constraints.txt").write_text("tiny==1.0\n")
    assert project.setup()[0] == 0
    assert project.tiny() == "1.0"


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_an_interrupted_install_is_done_again(project, kill):
    (project.folder / "wait").touch()
    (project.folder / ".venv" / ".course-ready").unlink()
    process = project.start()
    try:
        while not (project.folder / "waiting").exists():
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, kill)
        process.communicate()
    finally:
        (project.folder / "wait").unlink()
        (project.folder / "waiting").unlink()
    assert process.returncode != 0
    assert not (project.folder / ".venv" / ".course-ready").exists()
    status, output = project.setup()
    assert status == 0, output
    assert project.tiny() == "1.0"
    assert project.setup() == (0, "")


def test_a_package_with_missing_files_is_installed_again(project):
    next(project.folder.glob(".venv/lib/*/site-packages/tiny.py")).unlink()
    (project.folder / ".venv" / ".course-ready").unlink()
    status, output = project.setup()
    assert status == 0, output
    assert "tiny-1.0 is incomplete" in output
    assert project.tiny() == "1.0"


def test_an_environment_without_pip_or_python_is_made_anew(project):
    shutil.rmtree(next(project.folder.glob(".venv/lib/*/site-packages/pip")))
    (project.folder / ".venv" / ".course-ready").unlink()
    status, output = project.setup()
    assert status == 0 and "making it anew" in output, output
    project.python.unlink()  # as an upgrade of the system's Python may do
    project.python.symlink_to("/nowhere/python3")
    status, output = project.setup()
    assert status == 0 and "making it anew" in output, output
    assert project.tiny() == "1.0"


def test_a_moved_checkout_is_installed_again(project, tmp_path):
    moved = copy.copy(project)
    moved.folder = tmp_path / "moved"
    moved.python = moved.folder / ".venv" / "bin" / "python"
    shutil.copytree(project.folder, moved.folder, symlinks=True)
    status, output = moved.setup()
    assert status == 0 and "Installing" in output, output


def test_another_folder_is_never_deleted(project):
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "thesis.txt").touch()
    status, output = project.setup("VENV=mine")
    assert status != 0 and "is no virtual environment" in output
    assert (project.folder / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "is not Python 3.11 or newer."),
        ('case "$2" in *ensurepip*) exit 1;; esac', "has no venv module: install it"),
    ],
)
def test_an_unfit_python_is_named_in_one_sentence(project, tmp_path, script, sentence):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    status, output = project.setup("VENV=new", f"PYTHON={python}")
    said = [line for line in output.splitlines() if not line.startswith("make")]
    assert status != 0
    assert len(said) == 1 and sentence in said[0]
    assert not (project.folder / "new").exists()


# --- which PyTorch --------------------------------------------------------------------------------------

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def torch_project(project, tmp_path):
    """The project with a need for torch 1.0, which pip's index has, and the other index with its 1.0+cpu."""
    course = copy.copy(project)
    course.folder = tmp_path / "course"
    course.python = course.folder / ".venv" / "bin" / "python"
    shutil.copytree(project.folder, course.folder, ignore=shutil.ignore_patterns(".venv"))
    for index, version in (("pypi", "1.0"), ("cpu", "1.0+cpu")):
        for name in ("torch", "torchvision"):
            (tmp_path / index / name).mkdir(parents=True)
            needs = "torch" if name == "torchvision" else ""
            write_wheel(tmp_path / index / name, name, version, requires=needs)
    write_wheel(course.folder, "course_utils", "1.0.0", requires="torchvision")
    (course.folder / "constraints.txt").write_text("torch==1.0\ntorchvision==1.0\n")
    (tmp_path / "bin").mkdir()
    pretend(tmp_path, "uname", 'case "$1" in -m) echo x86_64;; *) echo Linux;; esac')
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    script = course.folder / "tools" / "setup.sh"
    script.write_text(script.read_text().replace(CPU_INDEX, f"{address}/cpu"))
    course.environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    course.environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{address}/pypi"}
    course.environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    yield course
    server.shutdown()
    server.server_close()


def pretend(folder: Path, command: str, script: str) -> None:
    """A command in front of the system's own."""
    (folder / "bin" / command).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / command).chmod(0o755)


def versions(course: Project) -> list[str]:
    code = "import torch, torchvision; print(torch.version, torchvision.version)"
    return subprocess.run([course.python, "-c", code], capture_output=True, text=True).stdout.split()


needs_no_gpu = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")


@needs_no_gpu
def test_without_a_gpu_torch_comes_without_cuda_and_stays_so(torch_project):
    status, output = torch_project.setup()
    assert status == 0, output
    assert output.count("There is no NVIDIA GPU: taking PyTorch without CUDA") == 1
    assert versions(torch_project) == ["1.0+cpu", "1.0+cpu"]
    next(
        torch_project.folder.glob(".venv/lib/*/site-packages/torchvision.py")
    ).unlink()  # an interrupted install
    (torch_project.folder / ".venv" / ".course-ready").unlink()
    status, output = torch_project.setup()
    assert status == 0 and "GPU" not in output, output
    assert versions(torch_project) == ["1.0+cpu", "1.0+cpu"]


@needs_no_gpu
@pytest.mark.parametrize("content", ["nothing", "another version"])
def test_where_the_index_has_no_such_torch_pip_decides(torch_project, tmp_path, content):
    shutil.rmtree(tmp_path / "cpu")
    if content == "another version":
        (tmp_path / "cpu" / "torch").mkdir(parents=True)
        write_wheel(tmp_path / "cpu" / "torch", "torch", "0.9+cpu")
    status, output = torch_project.setup()
    assert status == 0, output
    assert "gives no answer: taking pip's PyTorch with CUDA" in output
    assert versions(torch_project) == ["1.0", "1.0"]


def test_with_a_gpu_torch_comes_with_cuda(torch_project, tmp_path):
    pretend(tmp_path, "nvidia-smi", "echo GPU 0: a stand-in")
    status, output = torch_project.setup()
    assert status == 0 and "There is an NVIDIA GPU: taking PyTorch with CUDA" in output, output
    assert versions(torch_project) == ["1.0", "1.0"]


@pytest.mark.parametrize(("index", "version"), [("pypi", "1.0"), ("cpu", "1.0+cpu")])
def test_torch_index_decides(torch_project, tmp_path, index, version):
    pretend(tmp_path, "nvidia-smi", "exit 0" if index == "cpu" else "exit 1")
    address = torch_project.environment["PIP_INDEX_URL"].removesuffix("pypi") + index
    status, output = torch_project.setup(f"TORCH_INDEX={address}")
    assert status == 0 and "GPU" not in output, output
    assert versions(torch_project) == [version, version]


@pytest.mark.parametrize(("machine", "system"), [("x86_64", "15.2"), ("arm64", "13.7.1")])
def test_macs_without_a_pytorch_are_told_so(torch_project, tmp_path, machine, system):
    pretend(tmp_path, "uname", f'case "$1" in -m) echo {machine};; *) echo Darwin;; esac')
    pretend(tmp_path, "sw_vers", f"echo {system}")
    status, output = torch_project.setup()
    assert status != 0 and "Apple silicon and macOS 14 or newer" in output, output
    assert f"macOS {system} on {machine}" in output and not torch_project.python.exists()


def test_a_mac_with_apple_silicon_takes_pips_default(torch_project, tmp_path):
    pretend(tmp_path, "uname", 'case "$1" in -m) echo arm64;; *) echo Darwin;; esac')
    pretend(tmp_path, "sw_vers", "echo 14.0")
    status, output = torch_project.setup()
    assert status == 0 and "GPU" not in output, output
    assert versions(torch_project) == ["1.0", "1.0"]


# --- what CI tries --------------------------------------------------------------------------------------


def test_ci_finds_each_python_that_runs_and_none_that_does_not(tmp_path):
    (tmp_path / "bin").mkdir()
    pretend(tmp_path, "python3.12", "exit 127")  # a stand-in for what is not installed
    pretend(tmp_path, "python3.13", "exit 0")
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}
    script = ROOT / ".ci" / "pythons"
    found = subprocess.run([script], env=environment, capture_output=True, text=True, check=True).stdout
    assert f"3.13 {tmp_path}/bin/python3.13" in found.splitlines()
    assert f"{tmp_path}/bin/python3.12" not in found


# --- make lab -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["80000", "0", "abc", "-1"])
def test_an_impossible_port_is_one_sentence(port):
    process = start_make(
        "lab",
        f"PORT={port}",
        f"VENV={sys.prefix}",
        cwd=ROOT,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = process.communicate()
    assert process.returncode != 0
    assert f"PORT={port} is no port" in said.splitlines()[0]


def request(url: str) -> int:
    """The HTTP status that a URL answers with."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def impostors(folder: Path) -> dict[str, str]:
    """Settings as robots' software and other courses leave them: modules and a kernel with the names of ours."""
    kernel = folder / "impostors" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false"], "display_name": "Impostor", "language": "python"}))
    for name in ("numpy", "pip", "jupyterlab"):
        (folder / "impostors" / f"{name}.py").write_text("raise ImportError('an impostor')\n")
    names = ("PYTHONPATH", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    return dict.fromkeys(names, str(folder / "impostors"))


def test_modules_of_other_software_do_not_disturb_the_set_up(project, tmp_path, monkeypatch):
    monkeypatch.setattr(project, "environment", project.environment | impostors(tmp_path))
    (project.folder / ".venv" / ".course-ready").unlink()
    status, output = project.setup()
    assert status == 0, output
    assert project.tiny() == "1.0"


@pytest.fixture
def lab(tmp_path):
    """`make lab` of this very checkout at a port of ours, with a new home and a browser that notes its URL."""
    subprocess.run(["make", "setup-test", f"VENV={sys.prefix}"], cwd=ROOT, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home, browser, log = tmp_path / "home", tmp_path / "browser", tmp_path / "log"
    home.mkdir()
    browser.write_text(f'#!/bin/sh\necho "$1" >"{tmp_path}/opened"\n')
    browser.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "MPL"))}
    environment |= {"HOME": str(home), "BROWSER": f"{browser} %s", **impostors(tmp_path)}
    with log.open("w") as output:
        command = ["lab", f"PORT={port}", f"VENV={sys.prefix}"]
        process = start_make(*command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        while not (tmp_path / "opened").exists() and process.poll() is None:
            time.sleep(0.1)
        yield process, port, tmp_path
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_make_lab_serves_the_first_notebook_to_this_machine_only(lab):
    process, port, folder = lab
    log = (folder / "log").read_text()
    assert process.poll() is None, log
    assert "Installing" not in log
    first = sorted((ROOT / "notebooks").glob("01_*.ipynb"))[0].name
    assert f"http://127.0.0.1:{port}/lab/tree/notebooks/{first}?token=" in log

    page = (folder / "opened").read_text().strip().removeprefix("file://")
    assert f"/lab/tree/notebooks/{first}?token=" in Path(page).read_text()
    assert not any(part.startswith(".") for part in Path(page).relative_to(ROOT).parts)

    server = f"http://127.0.0.1:{port}/api/contents"
    token = next((json.loads(file.read_text()) for file in runtime_files(port)), {})["token"]
    assert request(server) == 403
    assert request(f"{server}?token=guess") == 403
    assert request(f"{server}?token={token}") == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/kernelspecs?token={token}") as answer:
        kernels = json.load(answer)["kernelspecs"]
    assert kernels["python3"]["spec"]["display_name"].startswith("Python 3")

    family = psutil.Process(process.pid).children(recursive=True)
    listening = {c.laddr.ip for p in family for c in p.net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}

    os.killpg(process.pid, signal.SIGINT)  # one Ctrl-C
    process.wait()
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)
    written = [path for path in (folder / "home").rglob("*") if path.is_file()]
    assert written == []


def runtime_files(port: int) -> list[Path]:
    files = (ROOT / "build" / "jupyter" / "runtime").glob("jpserver-*.json")
    return [file for file in files if json.loads(file.read_text())["port"] == port]
