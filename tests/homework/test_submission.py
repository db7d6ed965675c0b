"""What is read of a submission and how its marks are mended, without running anything."""

import json

import nbformat
import pytest
from grading.submission import SubmissionError, _decode, mend, read_notebook, read_submission
from homework import COURSE, weeks
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

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


def test_right_name_wins_and_what_lies_beside_it_is_named(tmp_path):
    for name in ("week.ipynb", "week-old.ipynb", "old/x.ipynb", ".ipynb_checkpoints/week-checkpoint.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nbformat.write(released(), tmp_path / name)
    (tmp_path / "more.zip").write_bytes(b"PK")
    assert read_submission(tmp_path, "week")[1] == ["old/x.ipynb, week-old.ipynb, more.zip were left aside."]


@pytest.mark.parametrize(
    "name, said", [("x.zip", ": unpack x.zip."), ("x.py", ", only x.py."), (".DS_Store", ".")]
)
def test_a_folder_without_a_notebook_says_what_is_there(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(SubmissionError, match=f"^There is no notebook \\(.ipynb\\) in the folder{said}$"):
        read_submission(tmp_path, "week")


def release(week):
    return nbformat.read(COURSE / "release" / week / f"{week}.ipynb", as_version=4)


def written(notebook):
    marked = (cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    return next(cell for cell in marked if cell.metadata.nbgrader.solution)


@pytest.mark.parametrize("week", weeks())
def test_line_ends_of_windows_are_no_change(week, tmp_path):
    content = json.loads(nbformat.writes(release(week)))
    for cell in content["cells"]:
        cell["source"] = [line.replace("\n", "\r\n") for line in cell["source"]]
    path = tmp_path / "homework.ipynb"
    path.write_bytes(json.dumps(content, indent=1).replace("\n", "\r\n").encode())
    notebook, notes = read_notebook(path)
    assert notes + mend(notebook, release(week)) == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in release(week).cells]


def colab(content):
    """Cells have their id in the metadata, the notebook is of an older format."""
    content["nbformat_minor"] = 0
    content["metadata"] = {
        "colab": {"provenance": []},
        "kernelspec": {"name": "python3", "display_name": "Py"},
    }
    for number, cell in enumerate(content["cells"]):
        del cell["id"]
        cell["metadata"] |= {"id": f"aB{number}", "colab": {"base_uri": "https://localhost:8080/"}}


def vs_code(content):
    """No kernel is named, and cells have their language."""
    content["metadata"] = {"language_info": {"name": "python"}}
    for number, cell in enumerate(content["cells"]):
        cell["id"] = f"{number:08x}"
        cell["metadata"]["vscode"] = {"languageId": "python"}


@pytest.mark.parametrize("week", weeks())
@pytest.mark.parametrize("editor", [colab, vs_code])
def test_marks_of_other_editors_are_no_change(week, editor, tmp_path):
    content = json.loads(nbformat.writes(release(week)))
    editor(content)
    path = tmp_path / "homework.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    notebook, notes = read_notebook(path)
    assert notes + mend(notebook, release(week)) == []
    assert named(notebook) == named(release(week))


@pytest.mark.parametrize("week", weeks())
@pytest.mark.parametrize("before", [True, False])
def test_written_answer_in_a_cell_of_its_own_is_taken(week, before):
    notebook, text = release(week), "내 생각: the third one, since its stride is larger."
    place = notebook.cells.index(written(notebook))
    notebook.cells.insert(place + (not before), new_markdown_cell(text))
    (note,) = mend(notebook, release(week))
    assert "stood in a cell of its own" in note
    assert written(notebook).source == text


@pytest.mark.parametrize(
    "text", ["# I think the third one,\n# for its stride", '"""The third one, I think."""']
)
def test_written_answer_as_a_comment_is_taken_and_code_is_not(text):
    week = weeks()[0]
    notebook = release(week)
    notebook.cells += [new_code_cell("print('The third one, I think.')"), new_code_cell(text)]
    mend(notebook, release(week))
    assert written(notebook).source == text


@pytest.mark.parametrize("week", weeks())
def test_written_answer_below_the_question_is_taken(week):
    notebook, text = release(week), "내 생각: the third one, since its stride is larger."
    question = notebook.cells[notebook.cells.index(written(notebook)) - 1]
    question.source += f"\n\n{text}"
    assert mend(notebook, release(week)) == [
        "The answer to discussion stood below the question; it was taken from there."
    ]
    assert written(notebook).source == text


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"worksheets": []}', '{"cells": {}}'])
def test_other_json_is_no_notebook(tmp_path, content):
    path = tmp_path / "homework.ipynb"
    path.write_text(content)
    with pytest.raises(
        SubmissionError, match=r"^homework\.ipynb is no notebook that can be read: it has no list"
    ):
        read_notebook(path)


@pytest.mark.parametrize("content, said", [(" \n", "it is empty"), ("<!DOCTYPE html>", "it is a web page")])
def test_what_is_no_json_at_all_is_named(tmp_path, content, said):
    path = tmp_path / "homework.ipynb"
    path.write_text(content)
    with pytest.raises(SubmissionError, match=f"^homework\\.ipynb is no notebook that can be read: {said}"):
        read_notebook(path)


@pytest.mark.parametrize("week", weeks())
def test_marks_and_ids_that_were_lost_come_back_by_text(week):
    notebook = release(week)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    (note,) = mend(notebook, release(week))
    assert "were lost and put back" in note
    assert named(notebook) == named(release(week))


@pytest.mark.parametrize("week", weeks())
def test_written_answer_is_found_where_marks_and_ids_were_lost(week):
    notebook, text = release(week), "내 생각: the third one, since its stride is larger."
    written(notebook).source = text
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    mend(notebook, release(week))
    assert written(notebook).source == text
