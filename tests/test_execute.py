"""`make execute`: what it stores, what it refuses, and that a failure leaves the notebook alone."""

import base64
import io
import json
import math

import cut_short
import execute
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_utils.data import ImageSet
from course_utils.training import History, evaluate, fit

VIEW = execute.WIDGET_VIEW
PNG = "iVBORw0KGgo="


def notebook_of(*sources: str):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def normal_cell(*outputs, **metadata):
    cell = new_code_cell("x", outputs=list(outputs), metadata=metadata, execution_count=7)
    notebook = new_notebook(cells=[cell])
    execute.normalise(notebook)
    nbformat.validate(notebook)
    return notebook.cells[0]


def test_counts_run_from_one_over_cells_with_code():
    notebook = notebook_of("a", "", "b")
    notebook.cells.insert(1, new_markdown_cell("text"))
    notebook.cells[0].execution_count = 12
    notebook.cells[0].outputs = [new_output("execute_result", {"text/plain": "1"}, execution_count=12)]
    execute.normalise(notebook)
    assert [cell.get("execution_count") for cell in notebook.cells] == [1, None, None, 2]
    assert notebook.cells[0].outputs[0].execution_count == 1


def test_metadata_shrink_to_the_kernel_and_tags():
    mine = {"name": "mine", "display_name": "My"}
    language = {"name": "python", "version": "3.11.2"}
    notebook = new_notebook(metadata={"widgets": {"a": 1}, "kernelspec": mine, "language_info": language})
    execute.normalise(notebook)
    assert notebook.metadata == {"kernelspec": execute.KERNELSPEC, "language_info": {"name": "python"}}
    cell = normal_cell(tags=["explorer"], execution={"iopub.execute_input": "2026"}, collapsed=True)
    assert cell.metadata == {"tags": ["explorer"]}


def test_of_an_explorer_the_picture_stays_and_the_view_goes():
    view = new_output("display_data", {VIEW: {"model_id": "1"}, "image/png": PNG, "text/plain": "A square."})
    output = normal_cell(view).outputs[0]
    assert output.data == {"image/png": PNG, "text/plain": "A square."}
    assert output.metadata == {"image/png": {"alt": "A square."}}


def test_a_view_without_a_picture_goes():
    assert (
        normal_cell(new_output("display_data", {VIEW: {"model_id": "1"}, "text/plain": "bar"})).outputs == []
    )


def test_tags_decide_what_is_covered_and_folded():
    cell = normal_cell(tags=["hide-output", "hide-input", "other"], jupyter={"outputs_hidden": False})
    assert cell.metadata.jupyter == {"outputs_hidden": True, "source_hidden": True}
    assert "jupyter" not in normal_cell(tags=["explorer"], jupyter={"source_hidden": True}).metadata
    notebook = new_notebook(cells=[cell])
    execute.normalise(notebook)
    assert notebook.cells[0].metadata == cell.metadata


def picture_of(pixels: np.ndarray, mode: str) -> tuple[str, Image.Image, dict]:
    """Mime type, picture and its metadata, of these pixels as a notebook stores them."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    output = new_output("display_data", {"image/png": png}, metadata={"image/png": {"alt": "words"}})
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    execute.shrink_pictures(notebook)
    once = notebook.cells[0].outputs[0]
    execute.shrink_pictures(notebook)
    assert notebook.cells[0].outputs[0] == once
    nbformat.validate(notebook)
    ((mime, text),) = once.data.items()
    assert len(base64.b64decode(text)) < len(buffer.getvalue())
    return mime, Image.open(io.BytesIO(base64.b64decode(text))), once.metadata


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_chart_keeps_every_pixel_in_a_palette(mode):
    numbers = np.random.default_rng(0)
    pixels = numbers.integers(0, 256, (200, 3), dtype=np.uint8)[numbers.integers(0, 200, (60, 90))]
    mime, picture, metadata = picture_of(pixels, mode)
    assert (mime, picture.mode, metadata) == ("image/png", "P", {"image/png": {"alt": "words"}})
    assert np.array_equal(np.asarray(picture.convert("RGB")), pixels)


def test_a_photograph_becomes_a_jpeg_that_looks_the_same():
    across = np.linspace(0, 6, 200)
    waves = [np.sin(across[:, None] * a + across[None] * b) for a, b in ((1, 2), (2, 1), (3, 3))]
    pixels = (127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
    mime, picture, metadata = picture_of(pixels, "RGBA")
    assert (mime, metadata) == ("image/jpeg", {"image/jpeg": {"alt": "words"}})
    assert np.abs(np.asarray(picture, float) - pixels).mean() < 2


def test_the_size_of_a_figure_stays():
    size = {"image/png": {"width": 300, "height": 200}}
    figure = new_output("display_data", {"image/png": PNG}, metadata=size)
    assert normal_cell(figure).outputs[0].metadata == size


def test_streams_are_joined_and_written_over_text_goes():
    pieces = ["loss 1\n", "10%\r", "50%\r100%", "\ndone\n"]
    cell = normal_cell(*(new_output("stream", name="stdout", text=piece) for piece in pieces))
    assert [output.text for output in cell.outputs] == ["loss 1\n100%\ndone\n"]


def test_ids_stay_and_missing_ones_are_the_same_every_time():
    def with_ids():
        notebook = notebook_of("a", "a", "b")
        del notebook.cells[0]["id"], notebook.cells[1]["id"]
        notebook.cells[2].id = "mine"
        execute.normalise(notebook)
        return [cell.id for cell in notebook.cells]

    assert with_ids() == with_ids()
    assert with_ids()[2] == "mine" and len(set(with_ids())) == 3


@pytest.mark.parametrize(
    "text",
    [
        "/home/ann/course/x.py:3: UserWarning",
        "see '/Users/ann/a'",
        "(/tmp/ipykernel_12/3.py)",
        r"C:\Users\ann",
        "<Axes at 0x7f3a12b4c5d0>",
        "lib/python3.12/site-packages/torch/nn.py",
    ],
)
def test_traces_of_a_machine_are_seen(text):
    notebook = notebook_of("1", "2")
    notebook.cells[1].outputs = [new_output("stream", name="stderr", text=text)]
    assert [index for index, _ in execute.machine_traces(notebook)] == [1]


@pytest.mark.parametrize(
    "text",
    ["https://example.org/home/ann", "and/or 3/4, 16/tmp", "../data/photos/a.jpg", "a / b", "0x7f3a12b4"],
)
def test_other_slashes_and_numbers_are_not(text):
    notebook = notebook_of("1")
    notebook.cells[0].outputs = [new_output("stream", name="stdout", text=text)]
    assert execute.machine_traces(notebook) == []


def test_prefixes_choose_notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "NOTEBOOKS", tmp_path)
    for name in ("01_a.ipynb", "02_b.ipynb", "scratch.ipynb"):
        (tmp_path / name).touch()
    assert [path.name for path in execute.find_notebooks([])] == ["01_a.ipynb", "02_b.ipynb"]
    assert [path.name for path in execute.find_notebooks(["02"])] == ["02_b.ipynb"]
    with pytest.raises(
        ValueError, match=r"No notebook starts with 07; there are: 01_a\.ipynb, 02_b\.ipynb\.$"
    ):
        execute.find_notebooks(["07"])


@pytest.mark.slow
def test_a_notebook_runs_in_its_folder_and_is_stored(tmp_path):
    path = tmp_path / "01_a.ipynb"
    nbformat.write(
        notebook_of("import os; x = bytearray(300_000_000)", "os.path.basename(os.getcwd())"), path
    )
    measures = execute.execute(path)
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[1].outputs[0].data["text/plain"] == repr(tmp_path.name)
    assert stored.cells[1].execution_count == 2
    assert measures.seconds > 0
    assert 300_000_000 < measures.peak_bytes < 900_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("1 / 0", r'01_a.ipynb, cell 1 \("1 / 0"\) failed with ZeroDivisionError: division by zero'),
        ("import os; print(os.getcwd())", r"01_a.ipynb, cell 1 \(.*\) shows an absolute path"),
        ("import os; os._exit(1)", r"01_a.ipynb, cell 1 \(.*\) did not end: Kernel died"),
    ],
)
def test_a_failure_names_the_cell_and_leaves_the_notebook(tmp_path, source, sentence):
    path = tmp_path / "01_a.ipynb"
    nbformat.write(notebook_of("0", source), path)
    before = path.read_bytes()
    with pytest.raises(execute.NotebookError, match=sentence):
        execute.execute(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["01_a.ipynb"]


@pytest.mark.slow
def test_copies_leave_the_source_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "NOTEBOOKS", tmp_path)
    nbformat.write(notebook_of("6 * 7"), tmp_path / "01_a.ipynb")
    before = (tmp_path / "01_a.ipynb").read_bytes()
    monkeypatch.setattr("sys.argv", ["execute.py", "01", "--copies", str(tmp_path / "copies")])
    assert execute.main() == 0
    assert (tmp_path / "01_a.ipynb").read_bytes() == before
    assert json.loads((tmp_path / "copies" / "01_a.json").read_text())["seconds"] > 0
    assert '"42"' in (tmp_path / "copies" / "01_a.ipynb").read_text()


FIT = """
import torch
from course_utils import data, training
images = data.ImageSet(torch.randn(900, 1, 4, 4), torch.arange(900) % 3, ("a", "b", "c"))
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
run = training.fit(net, images, images, epochs=3, batch_size=10, progress=False)
print(len(run.losses), len(run.test_errors))
"""


def run_main(monkeypatch, folder, *arguments: str) -> int:
    monkeypatch.setattr(execute, "NOTEBOOKS", folder)
    monkeypatch.setattr("sys.argv", ["execute.py", *arguments])
    return execute.main()


@pytest.mark.slow
def test_what_is_stored_was_trained_whole(tmp_path, monkeypatch):
    nbformat.write(notebook_of(FIT), tmp_path / "01_a.ipynb")
    assert run_main(monkeypatch, tmp_path) == 0
    (output,) = nbformat.read(tmp_path / "01_a.ipynb", as_version=4).cells[0].outputs
    assert output.text == "270 3\n"


@pytest.mark.slow
def test_a_run_cut_short_says_so_and_may_miss_results_only_where_a_tag_says_so(tmp_path, monkeypatch, capsys):
    notebook = notebook_of(FIT, "assert len(run.losses) == 270", "run.stopped")
    cut = ("--copies", str(tmp_path / "cut"), "--cut")
    nbformat.write(notebook, tmp_path / "01_a.ipynb")
    assert run_main(monkeypatch, tmp_path, *cut) == 1
    assert "cell 1" in capsys.readouterr().err
    notebook.cells[1].metadata["tags"] = [execute.TRAINED]
    nbformat.write(notebook, tmp_path / "01_a.ipynb")
    assert run_main(monkeypatch, tmp_path, *cut) == 0
    cells = nbformat.read(tmp_path / "cut" / "01_a.ipynb", as_version=4).cells
    assert cells[0].outputs[0].text == f"{cut_short.SENTENCE}\n{cut_short.STEPS} 3\n"
    assert cells[2].outputs[0].data["text/plain"] == "''"


@pytest.mark.parametrize("arguments", [["--cut"], ["--cut", "--copies", "."]])
def test_a_run_cut_short_is_never_stored_as_a_lecture(tmp_path, monkeypatch, capsys, arguments):
    (tmp_path / "01_a.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    assert run_main(monkeypatch, tmp_path, *arguments) == 1
    assert "--cut needs --copies elsewhere" in capsys.readouterr().err


def test_cut_evaluation_has_an_answer_for_every_image(capsys):
    images = ImageSet(torch.randn(1203, 1, 4, 4), torch.arange(1203) % 3, ("a", "b", "c"))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    whole = evaluate(net, images, ks=(1,), progress=False)
    cut = cut_short.evaluate(net, images, ks=(1,), progress=False)
    assert cut_short.SENTENCE in capsys.readouterr().out
    first = whole.logits[: cut_short.IMAGES]
    assert torch.equal(cut.logits, torch.cat([first] * 5)[:1203])
    assert torch.equal(cut.targets, whole.targets)
    small = images.subset(cut_short.IMAGES)
    assert torch.equal(cut_short.evaluate(net, small, ks=(1,), progress=False).logits, first)
    assert cut_short.SENTENCE not in capsys.readouterr().out


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(1, 8) | st.floats(0.1, 8), st.integers(1, 40))
def test_cut_training_has_as_many_epochs_of_fewer_steps(epochs, batch_size):
    images = ImageSet(torch.randn(70, 1, 4, 4), torch.arange(70) % 3, ("a", "b", "c"))

    def train(how) -> History:
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
        return how(net, images, images, epochs=epochs, batch_size=batch_size, progress=False)

    whole, cut = train(fit), train(cut_short.fit)
    assert len(cut.losses) <= min(len(whole.losses), max(cut_short.STEPS, math.ceil(epochs)))
    assert len(cut.test_errors) == len(cut.train_errors)
    if isinstance(epochs, int):
        assert len(cut.test_errors) == epochs
