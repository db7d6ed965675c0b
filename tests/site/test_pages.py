"""What stops the site's build, and that its data are what torch measures."""

import base64
import io
import json
import random
from pathlib import Path

import nbformat
import numpy as np
import pytest
import site_data
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from sitebuild import lectures

from course_utils.explorers.measured import MEASURED

DATA = Path(__file__).resolve().parents[2] / "site" / "data"


def stored(tmp_path, cell) -> Path:
    notebook = new_notebook(cells=[new_markdown_cell("# Lecture 9. A trial\n\nWhy."), cell])
    nbformat.write(notebook, tmp_path / "09_trial.ipynb")
    return tmp_path / "09_trial.ipynb"


def picture(metadata) -> nbformat.NotebookNode:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    return new_output("display_data", data, metadata=metadata)


def test_a_cell_that_was_not_executed_is_named(tmp_path):
    path = stored(tmp_path, new_code_cell("1 + 1"))
    with pytest.raises(
        lectures.PageError, match=r'09_trial.ipynb, cell 1 \("1 \+ 1"\) has not been executed'
    ):
        lectures.read(path, tmp_path)


def test_a_picture_without_an_alt_text_is_named(tmp_path):
    path = stored(tmp_path, new_code_cell("plot()", execution_count=1, outputs=[picture({})]))
    with pytest.raises(
        lectures.PageError, match=r"cell 1 \(\"plot\(\)\"\) has a picture without an alt text"
    ):
        lectures.read(path, tmp_path)


def test_a_picture_keeps_its_pixels_and_its_words(tmp_path):
    said = {"image/png": {"alt": 'A red field, 40 × 30 "pixels".'}}
    path = stored(tmp_path, new_code_cell("plot()", execution_count=1, outputs=[picture(said)]))
    lecture = lectures.read(path, tmp_path)
    html = lecture.picture
    assert 'alt="A red field, 40 × 30 &quot;pixels&quot;."' in html and 'width="40" height="30"' in html
    file = next(tmp_path.glob("*.webp"))
    assert file.name in html
    assert Image.open(file).convert("RGB").getcolors() == [(1200, (255, 0, 0))]


def heat(uri: str) -> np.ndarray:
    """The levels, 0 to 31, of a heat map that is a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))), dtype=int)


@pytest.mark.slow
@pytest.mark.parametrize("kind", site_data.EXPORTED)
def test_the_sites_data_are_what_torch_measures(kind):
    """All tables and a part of each other file; `python tools/site_data.py` makes them all anew."""
    found, generator = json.loads((DATA / f"{kind}.json").read_text()), random.Random(kind)
    keys = generator.sample(sorted(found), len(found) if kind == "tables" else min(len(found), 4))
    for key in keys:
        if kind == "effective":
            assert found[key]["sd"] == pytest.approx(MEASURED[key]["sd"], rel=1e-3)
            ours, theirs = heat(found[key]["picture"]), heat(MEASURED[key]["picture"])
            assert np.abs(ours - theirs).max() <= 1  # a level of 32, where another processor rounds otherwise
        elif kind == "signals":
            for name in ("activations", "gradients"):
                assert found[key][name] == pytest.approx(MEASURED[key][name], rel=1e-3, abs=1e-12)
        elif kind == "guesses" and key.startswith("guesses/"):
            assert found[key]["target"] == MEASURED[key]["target"]
            assert found[key]["order"][:5] == MEASURED[key]["order"][:5]
            assert found[key]["logits"] == pytest.approx(MEASURED[key]["logits"], abs=1e-3)
        else:
            assert found[key] == json.loads(json.dumps(MEASURED[key]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", site_data.EXPORTED)
def test_the_sites_data_have_all_that_the_explorers_offer(kind):
    assert set(site_data.EXPORTED[kind]()) == set(json.loads((DATA / f"{kind}.json").read_text()))
