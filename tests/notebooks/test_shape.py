"""The measurable half of the second edition's shape, for the lectures that have it."""

import ast
import re
import statistics
from functools import cache
from pathlib import Path

import nbformat
import pytest
from test_notebooks import NOTEBOOKS, ROOT, words

END = "**Here the session ends.**"
WORDS, SECTIONS, BETS = 2000, 10, 7  # of the core, at most
MEDIAN, LONGEST, LONG_PLOT = 5, 15, 6  # lines of code in sight
BYTES = 2_000_000
BET = re.compile(r"^> \*\*", re.MULTILINE)
LATER = re.compile(r'The answer comes in "([^"]+)"')
BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
every_lecture = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def cells(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def end_of_core(path: Path) -> int:
    ends = [
        n
        for n, cell in enumerate(cells(path))
        if cell.cell_type == "markdown" and cell.source.startswith(END)
    ]
    assert len(ends) == 1, f"one prose cell begins with {END}"
    return ends[0]


def prose(path: Path, end: int | None = None) -> list[tuple[int, str]]:
    found = [(n, cell.source) for n, cell in enumerate(cells(path)[:end]) if cell.cell_type == "markdown"]
    return [(n, re.sub(r"```.*?```", "", text, flags=re.DOTALL)) for n, text in found]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells(path) if cell.cell_type == "code"]


def lines(cell: nbformat.NotebookNode) -> int:
    return len(cell.source.strip().splitlines())


def first_output(path: Path, start: int) -> nbformat.NotebookNode:
    return next(cell for cell in cells(path)[start:] if cell.cell_type == "code" and cell.outputs)


def answers(path: Path) -> list[tuple[str, nbformat.NotebookNode]]:
    """Each prose cell with a bet, and the cell whose output answers it."""
    found = []
    for n, text in prose(path):
        if not BET.search(text):
            continue
        start = n
        if later := LATER.search(text):
            heading = re.compile(rf"^#+ {re.escape(later[1])}$", re.MULTILINE)
            start = next((m for m, prose_ in prose(path) if heading.search(prose_)), None)
            assert start is not None, f"no section is called {later[1]!r}"
        found.append((text, first_output(path, start)))
    return found


def draws_by_hand(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell calls matplotlib, or is long and ends in a figure or table."""
    if re.search(r"\bplt\.|\bax\w*\.|\baxes\[", cell.source):
        return True
    last = ast.parse(cell.source).body[-1]
    plots = isinstance(last, ast.Expr) and ast.unparse(last).startswith("plots.")
    return plots and lines(cell) > LONG_PLOT


def readable(text: str) -> str:
    """Running text alone: without headings and their names, tables and the list of what one will be able to do."""
    text = LATER.sub("", text)
    text = re.sub(r"You will be able to\n\n(- .*\n)+", "", text)
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", "|")))


def key_terms(path: Path) -> list[str]:
    """The entries of the tables under Key terms; "a, b" are two."""
    text = "\n\n".join(text for _, text in prose(path))
    table = re.search(r"^## Key terms.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert table, "no section is called Key terms"
    rows = [line.split("|")[1].strip() for line in table[0].splitlines() if line.startswith("| ")]
    return [term for row in rows if row != "English" for term in row.split(", ")]


def course_until(path: Path) -> list[tuple[str, str]]:
    """Where, and the running text, of all prose from the first lecture to this one."""
    before = [lecture for lecture in NOTEBOOKS if lecture.name <= path.name]
    return [(f"{p.stem}, cell {n}", readable(text)) for p in before for n, text in prose(p)]


def spots(term: str) -> re.Pattern:
    return re.compile(rf"(?<![\w-]){re.escape(term)}(?:s|es)?(?![\w-])", re.IGNORECASE)


@every_lecture
def test_the_core_fits_a_session(path):
    core = prose(path, end_of_core(path))
    assert sum(words(text) for _, text in core) <= WORDS
    text = "\n\n".join(text for _, text in core)
    assert len(re.findall(r"^## ", text, re.MULTILINE)) <= SECTIONS
    assert len(BET.findall(text)) <= BETS
    for heading in ("Where it led", "Discuss in the session", "Check yourself"):
        assert re.search(rf"^## {heading}", text, re.MULTILINE), f"no section of the core is called {heading}"


@every_lecture
def test_what_goes_deeper_stands_behind_the_core(path):
    rest = "\n\n".join(text for n, text in prose(path) if n > end_of_core(path))
    headings = re.findall(r"^## (.+)", rest, re.MULTILINE)
    assert headings[0] == "Going deeper" and re.search(r"^### ", rest, re.MULTILINE)
    assert [heading.split(" ·")[0] for heading in headings[1:-1]] == ["Key terms", "Sources and licences"]


@every_lecture
def test_a_picture_stands_on_the_first_screen(path):
    first = first_output(path, 0)
    assert first in cells(path)[:4] and "hide-input" in tags(first)
    assert any(mime.startswith("image/") for output in first.outputs for mime in output.data)


@every_lecture
def test_answers_to_bets_are_covered(path):
    for bet, cell in answers(path):
        assert {"hide-output", "explorer"} & set(tags(cell)), (
            f"not covered: {cell.source!r} answers {bet[:80]!r}"
        )


@every_lecture
def test_the_line_that_a_cover_leaves_in_sight_is_no_answer(path):
    """JupyterLab shows the first line that is not empty of the first output beside its three dots."""
    for cell in code(path):
        if "hide-output" not in tags(cell) or "hide-input" in tags(cell) or not cell.outputs:
            continue
        shown = cell.outputs[0].get("text") or next(
            cell.outputs[0].data[mime]
            for mime in ("text/markdown", "text/plain")
            if mime in cell.outputs[0].data
        )
        line = next(line for line in shown.splitlines() if line)
        assert line.startswith(("| ", "**", "<Figure ")) or line.endswith(":"), (
            f"{cell.source!r} shows {line!r}"
        )


@every_lecture
def test_code_that_draws_is_folded_and_code_in_sight_is_short(path):
    in_sight = [cell for cell in code(path) if "hide-input" not in tags(cell)]
    assert [cell.source for cell in in_sight if draws_by_hand(cell)] == []
    assert statistics.median(map(lines, in_sight)) <= MEDIAN
    assert [cell.source for cell in in_sight if lines(cell) > LONGEST] == []


@every_lecture
def test_each_key_term_is_explained_where_it_first_occurs(path):
    course = course_until(path)
    late = {}
    for term in key_terms(path):
        pattern = spots(term)
        where, text = next(((w, t) for w, t in course if pattern.search(t)), (None, ""))
        bold = [span for span in BOLD.finditer(text) if pattern.search(span[1])]
        if not bold or pattern.search(text).start() < bold[0].start():
            late[term] = where or "nowhere"
    assert late == {}, "these terms are used before they stand in bold, in the cell named"


@every_lecture
def test_every_picture_says_in_words_what_it_shows(path):
    for cell in code(path):
        for output in cell.outputs:
            for mime in output.get("data", {}):
                if mime.startswith("image/"):
                    alt = output.metadata.get(mime, {}).get("alt", "")
                    assert len(alt.split()) >= 5, f"{cell.source!r} draws a picture without an alt text"


@every_lecture
def test_the_stored_file_is_small(path):
    assert path.stat().st_size <= BYTES


@every_lecture
def test_readme_and_notebook_agree_on_the_minutes(path):
    row = re.search(
        rf"^\|.*notebooks/{re.escape(path.name)}.*\|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert row, "README's table has no row for it"
    in_readme = re.search(r"(\d+) min", row[0])[1]
    core, talk = re.search(r"Allow \d+ minutes: (\d+) .*?, (\d+) to discuss", prose(path)[0][1]).groups()
    assert re.search(r"Allow (\d+) minutes", prose(path)[0][1])[1] == in_readme
    assert int(core) + int(talk) == int(in_readme)


@every_lecture
def test_sections_that_homework_cites_exist(path):
    number = int(path.name[:2])
    masters = (ROOT / "notebooks/homework/source").glob("*/*.ipynb")
    texts = [cell.source for master in masters for cell in cells(master) if cell.cell_type == "markdown"]
    cited = {
        name for text in texts for name in re.findall(rf'[Ll]ecture {number}\b[^"\n]{{0,20}}"([^"]+)"', text)
    }
    headings = {h for _, text in prose(path) for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert cited <= headings, f"homework cites {sorted(cited - headings)}"
