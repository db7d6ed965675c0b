"""The benchmarks' table: what a row says, when a goal is met, what is written where; nothing is measured here."""

import importlib.metadata
import platform
from collections.abc import Iterator

import bench
import pytest
import torch
from bench_table import (
    BEGIN,
    END,
    attempt,
    conditions,
    failed,
    number,
    row,
    times,
    to_markdown,
    update_section,
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_a_row_has_the_ratio_and_its_verdict():
    each = row("a loop", 3.0, 2.0, unit="s", goal="ratio <= 1.03")
    assert (each["ratio"], each["met"], each["ran"]) == (1.5, False, True)
    assert row("a loop", 2.0, 2.0, unit="s", goal="ratio <= 1.03")["met"] is True
    assert row("images", 500, 100, unit="images/s", goal="ratio >= 5")["met"] is True
    assert row("pixels", 435, 3, unit="px", goal="ours == 435")["met"] is True
    assert row("time", 31, unit="s", goal="ours <= 30")["met"] is False
    without = row("time", 31, unit="s")
    assert without["met"] is None and without["ratio"] is None


def test_all_rows_have_the_same_keys():
    assert list(failed("a", "b")) == list(row("a", 1, unit="s"))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.01234, "s", "0.0123 s"),
        (61.66, "s", "61.7 s"),
        (1234.5, "images/s", "1,234 images/s"),
        (None, "s", ""),
    ],
)
def test_numbers_have_three_digits_and_their_unit(value, unit, text):
    assert number(value, unit) == text


def test_small_ratios_are_parts_of_one():
    assert [times(r) for r in (0.05, 0.98, 1.031, 1234.0, None)] == ["1/20", "0.98", "1.03", "1,234", ""]


def test_the_table_shows_values_goal_and_verdict():
    rows = [
        row("a | b", 1, 20, unit="ms", goal="ratio <= 0.05", note="two\nlines"),
        row("slow", 31, unit="s", goal="ours <= 30"),
        failed("broken", "no network"),
    ]
    lines = to_markdown(rows).replace("\\|", "/").splitlines()
    assert len({len(cells(line)) for line in lines}) == 1
    assert cells(lines[2]) == ["a / b", "1 ms", "20 ms", "1/20", "ratio at most 1/20", "yes", "two lines"]
    assert cells(lines[3])[4:6] == ["at most 30 s", "**no**"]
    assert cells(lines[4]) == ["broken", "", "", "", "", "**did not run**", "could not run: no network"]


def test_what_raises_becomes_a_row_that_says_why(capsys):
    def broken():
        raise RuntimeError("no server\nand more")

    (each,) = list(attempt("startup", broken))
    assert (each["what"], each["ran"]) == ("startup", False)
    assert each["note"] == "could not run: no server"
    assert "Traceback" in capsys.readouterr().err


def test_conditions_name_no_machine():
    text = conditions(0.5)
    assert f"torch {importlib.metadata.version('torch')}," in text
    assert f"threads: {torch.get_num_threads()};" in text
    assert "cores" in text and "load 0.50" in text
    assert len(platform.node()) < 5 or platform.node() not in text


def test_only_the_section_between_the_markers_changes():
    text = f"# Title\n\n{BEGIN}\nold\n{END}\n\nlast\n"
    rows = [row("new", 1, unit="s")]
    once = update_section(text, rows, "A machine.\n")
    assert once.startswith(f"# Title\n\n{BEGIN}\n") and once.endswith(f"{END}\n\nlast\n")
    assert "| new | 1 s |" in once and "A machine." in once and "old" not in once
    assert update_section(once, rows, "A machine.\n") == once
    for broken in ("no markers", f"{BEGIN} but no end", f"{END} {BEGIN}"):
        with pytest.raises(ValueError, match="no section"):
            update_section(broken, rows, "")


def test_parts_are_chosen_by_name_and_run_in_order():
    assert bench.chosen_parts("metrics, geometry") == ["geometry", "metrics"]
    assert bench.chosen_parts("") == list(bench.PARTS)
    assert bench.chosen_parts("notebooks") == ["notebooks12", "notebooks34", "notebooks56"]
    with pytest.raises(ValueError, match="no benchmark metric; there are"):
        bench.chosen_parts("metric")


@pytest.mark.parametrize("part", bench.PARTS)
def test_every_part_has_rows(part):
    assert isinstance(bench.rows_of(part), Iterator)


def test_the_page_has_a_place_for_the_table():
    assert update_section(bench.PAGE.read_text(encoding="utf-8"), [], "A machine.")


class Part:
    """Stands in for a module of benchmarks."""

    def __init__(self, *results: dict, ends: str = "") -> None:
        self.results, self.ends = results, ends

    def rows(self) -> Iterator[dict]:
        yield from self.results
        if self.ends:
            raise RuntimeError(self.ends)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`bench.main` with parts that measure nothing: (status, build/bench.md, the page)."""
    out, readme = tmp_path / "build" / "bench.md", tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\nold\n{END}\n")
    for name, value in {"OUT": out, "PAGE": readme, "ROOT": tmp_path, "PARTS": ("one", "two")}.items():
        monkeypatch.setattr(bench, name, value)

    def run(arguments: list[str], **parts: Part) -> tuple[int, str, str]:
        known = {f"bench_{name}": part for name, part in parts.items()}
        monkeypatch.setattr(bench.importlib, "import_module", known.__getitem__)
        status = bench.main(arguments)
        return status, out.read_text() if out.exists() else "", readme.read_text()

    return run


def test_a_whole_run_is_written_and_updates_the_readme_when_asked(run):
    parts = {
        "one": Part(row("first", 9, unit="s", goal="ours <= 3")),
        "two": Part(row("second", 1, unit="s")),
    }
    status, table, readme = run([], **parts)
    assert status == 0 and "old" in readme  # a missed goal is a result
    assert "first" in table and "second" in table and "1 missed their goal, 0 did not run" in table
    status, _, readme = run(["--update"], **parts)
    assert status == 0 and "old" not in readme and "| second |" in readme


def test_a_row_that_could_not_run_ends_in_failure_and_spares_the_readme(run):
    status, table, readme = run(
        ["--update"], one=Part(failed("first", "no")), two=Part(row("x", 1, unit="s"))
    )
    assert status == 1 and "old" in readme
    assert "could not run: no" in table and "| x |" in table and "1 did not run" in table


def test_a_part_that_breaks_does_not_stop_the_others(run):
    status, table, _ = run([], two=Part(row("second", 1, unit="s")))
    assert status == 1 and "| one |" in table and "| second |" in table


def test_rows_are_printed_and_kept_as_they_come(run, capsys):
    status, table, _ = run(["--only", "one"], one=Part(row("first", 1, unit="s"), ends="out of memory"))
    lines = capsys.readouterr().out.splitlines()
    assert status == 1 and len(lines) == 4
    assert lines[2].startswith("| first | 1 s |") and "could not run: out of memory" in lines[3]
    assert all(line in table for line in lines)


def test_some_parts_never_become_the_readmes_table(run, capsys):
    status, table, readme = run(["--only", "one", "--update"], one=Part(row("first", 1, unit="s")))
    assert (status, table) == (2, "") and "old" in readme
    assert "UPDATE=1 without ONLY" in capsys.readouterr().err
