"""Every lecture notebook: as committed (quick), and run for real without a network (slow)."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import cut_short
import execute
import nbformat
import pytest

ROOT = execute.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LINES, WORDS = 25, 160
MEMORY = 2e9
HANGUL = re.compile(r"[가-힣]")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def prose(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def words(text: str) -> int:
    """Words of running text: rows of tables and code are counted by nobody who reads."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
    return sum(bool(re.search(r"\w", word)) for line in lines for word in line.split())


def section(path: Path, title: str) -> str:
    """Text of the section whose heading contains `title`, up to the next heading of its level or above."""
    text = "\n\n".join(prose(path))
    found = re.search(
        rf"^(#+)[^\n]*{title}.*?(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL | re.IGNORECASE
    )
    assert found, f"no heading says {title!r}"
    return found.group()


def test_there_is_a_notebook():
    assert NOTEBOOKS, "notebooks/ holds no lecture"


@every_notebook
def test_it_is_valid_and_its_cells_have_ids_of_their_own(path):
    raw = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(raw)
    ids = [cell.get("id") for cell in raw["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)


@every_notebook
def test_it_was_executed_in_order_without_errors(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


@every_notebook
def test_it_is_stored_as_make_execute_stores_it(path):
    notebook, normal = read(path), read(path)
    execute.normalise(normal)
    assert notebook == normal, "run `make execute`, or leave out what JupyterLab added on saving"


@every_notebook
def test_it_shows_nothing_of_the_machine_it_ran_on(path):
    assert execute.machine_traces(read(path)) == []
    text, name = path.read_text(encoding="utf-8"), platform.node()
    assert str(ROOT) not in text
    assert len(name) < 5 or name == "localhost" or not re.search(rf"\b{re.escape(name)}\b", text)


@every_notebook
def test_what_is_stored_was_trained_whole(path):
    assert cut_short.SENTENCE not in path.read_text(encoding="utf-8")


@every_notebook
def test_explorers_are_stored_with_their_picture(path):
    for cell in code_cells(path):
        if "explorer" in cell.metadata.get("tags", []):
            mimes = {mime for output in cell.outputs for mime in output.get("data", {})}
            assert mimes & {"image/png", "image/jpeg"}, cell.source
        elif re.search(r"\b\w+_explorer\(", cell.source):
            assert "explorer-setup" in cell.metadata.get("tags", []), f"tag this cell explorer: {cell.source}"


@every_notebook
def test_cells_are_short(path):
    long = [cell.source for cell in code_cells(path) if len(cell.source.strip().splitlines()) > LINES]
    assert long == [], f"code cells of more than {LINES} lines"
    assert {text[:60]: len(text.split()) for text in prose(path) if len(text.split()) > WORDS} == {}


@every_notebook
def test_the_first_code_cell_seeds_everything(path):
    assert "seed_everything(0)" in code_cells(path)[0].source


@every_notebook
def test_a_bet_comes_before_all_but_the_first_picture(path):
    shown = 0
    for cell in read(path).cells:
        if cell.cell_type == "markdown" and re.search(r"bet first", cell.source, re.IGNORECASE):
            return
        shown += bool(cell.get("outputs"))
        assert shown <= 1, "two outputs stand before the first bet"
    pytest.fail("no prose cell says 'Bet first'")


@every_notebook
def test_it_ends_as_every_lecture_does(path):
    assert section(path, "discuss").count("?") >= 2
    assert "?" in section(path, "(?:quiz|check yourself)")
    assert len(HANGUL.findall(section(path, "key terms"))) >= 10
    assert re.search(r"minutes", prose(path)[0]), "the first cell says how many minutes the notebook needs"
    assert re.search(r"homework", prose(path)[-1], re.IGNORECASE)


def without_network() -> list[str]:
    """A command prefix that runs the rest with nothing but a loopback interface, empty where that is forbidden."""
    script = Path(__file__).with_name("loopback.py")
    prefix = ["unshare", "-rn", sys.executable, str(script)]
    try:
        ended = subprocess.run([*prefix, "true"], capture_output=True)
    except FileNotFoundError:
        return []
    return prefix if ended.returncode == 0 else []


@pytest.mark.slow
@pytest.mark.lecture
@pytest.mark.timeout(3600)  # tools/execute.py stops sooner, and names the cell
@every_notebook
def test_it_runs_from_a_clean_kernel_in_memory_that_a_laptop_has(path):
    """With training cut short: `make execute` and `make bench` train whole, and the latter measures time."""
    copies = ROOT / "build" / "cut"
    before = path.read_bytes()
    command = [sys.executable, str(ROOT / "tools/execute.py"), path.stem, "--copies", str(copies), "--cut"]
    ended = subprocess.run([*without_network(), *command], stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert path.read_bytes() == before
    measures = json.loads((copies / f"{path.stem}.json").read_text())
    assert measures["peak_bytes"] < MEMORY
