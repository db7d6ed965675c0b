"""What is read of a submission and how its marks are mended, without running anything."""

import nbformat
import pytest
from grading.submission import SubmissionError, _decode, mend, read_submission
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook

NAMES = ("setup", "answer", "answer-seen", "answer-hidden")


def marked(name, cell_id=None):
    marks = {"grade_id": name, "grade": "-" in name, "solution": name == "answer", "locked": name != "answer"}
    return new_code_cell(f"# {name}", id=cell_id or name, metadata={"nbgrader": marks})


def released():
    return new_notebook(cells=[marked(name) for name in NAMES])


def named(notebook):
    return [cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata]


@settings(deadline=None)  # the first example also imports
@given(st.lists(st.sampled_from([*NAMES, "stranger", "plain"]), min_size=1, max_size=12))
def test_mended_has_every_marked_cell_once(order):
    notebook = new_notebook(cells=[marked(name, f"cell-{number}") for number, name in enumerate(order)])
    for cell in notebook.cells:
        if cell.source == "# plain":
            del cell.metadata["nbgrader"]
    if not set(order) & set(NAMES):
        with pytest.raises(SubmissionError, match="another notebook"):
            mend(notebook, released())
        return
    sources = [cell.source for cell in notebook.cells]
    mend(notebook, released())
    assert sorted(named(notebook)) == sorted(NAMES)
    kept = [cell.source for cell in notebook.cells if cell.id.startswith("cell-")]
    assert kept == sources  # nothing of the member's is lost or moved


def test_untouched_needs_no_mending():
    notebook = released()
    assert mend(notebook, released()) == []
    assert notebook == released()


def test_missing_cells_come_back_in_their_order():
    notebook = new_notebook(cells=[marked("answer")])
    mend(notebook, released())
    assert named(notebook) == list(NAMES)


def test_of_two_copies_the_one_that_was_worked_on_counts():
    worked_on, stub = marked("answer"), marked("answer")
    worked_on.source, stub.id = "x = 1", "copy"
    notebook = new_notebook(cells=[marked("setup"), worked_on, stub])
    assert "answer is there 2 times" in mend(notebook, released())[0]
    assert (
        next(cell for cell in notebook.cells if named(new_notebook(cells=[cell])) == ["answer"]).source
        == "x = 1"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-le", "cp949"])
def test_encodings(encoding):
    text = '{"cells": "합성곱 신경망"}'
    assert _decode(text.encode(encoding))[0].lstrip("\ufeff") == text


def test_several_notebooks_and_none_by_name(tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        nbformat.write(released(), tmp_path / name)
    with pytest.raises(SubmissionError, match="2 notebooks and none is called week\\.ipynb"):
        read_submission(tmp_path, "week")


def test_right_name_wins(tmp_path):
    for name in ("week.ipynb", "week-old.ipynb"):
        nbformat.write(released(), tmp_path / name)
    assert read_submission(tmp_path, "week")[1] == ["week-old.ipynb was left aside."]
