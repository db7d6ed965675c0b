"""A member's session in the real JupyterLab: two notebooks at once, the stop button, saving, exporting, the log."""

import base64
import json
import re
import urllib.request

import labdriver
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

LECTURE = labdriver.LECTURES[1]
EXPLORER = 'conv_explorer(preset="AlexNet conv1 at 224")'
TRAINING = """
import torch
from torch import nn
from course_utils.data import ImageSet
from course_utils.training import fit
data = ImageSet(torch.randn(2000, 1, 28, 28), torch.randint(0, 10, (2000,)), tuple("0123456789"))
nets = [nn.Sequential(nn.Flatten(), nn.Linear(784, 10)) for _ in range(3)]
"""
WRITTEN = {  # by this test; language_info as `make execute` stores it
    "explorer.ipynb": ["from course_utils.explorers import conv_explorer", EXPLORER],
    "stop.ipynb": [TRAINING, "for net in nets:\n    fit(net, data, epochs=100_000)", "went_on = True"],
}


@pytest.fixture(scope="module")
def own_server(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    metadata = nbformat.read(LECTURE, as_version=4).metadata
    for name, sources in WRITTEN.items():
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / name)
    with labdriver.LabServer(sorted(folder.glob("*.ipynb"))) as server:
        yield server


@pytest.fixture
def lab(browser, own_server):
    lab = labdriver.LabPage(browser, own_server)
    yield lab
    lab.close()


def test_hatching_stays_when_another_notebook_is_open(lab):
    for place, name in enumerate(("explorer.ipynb", "explorer-copy.ipynb")):
        if place == 0:
            lab.open_notebook(name)
            folder = lab.server.folder / "course" / "notebooks"
            (folder / "explorer-copy.ipynb").write_bytes((folder / name).read_bytes())
        else:
            lab.open_beside(name)
        lab.run_cells([0, 1])
    picture = lab.cell(1).locator(".jp-OutputArea svg:has(title)").first
    used = picture.evaluate("svg => [...svg.outerHTML.matchAll(/url\\(#([^)]+)\\)/g)].map(match => match[1])")
    assert used
    homes = lab.page.evaluate(
        """ids => ids.map(id => { const all = [...document.querySelectorAll(`[id="${id}"]`)];
                                  return [all.length, all[0].getBoundingClientRect !== undefined,
                                          all[0].closest(".lm-mod-hidden") === null]; })""",
        used,
    )
    assert all(home == [1, True, True] for home in homes)
    lab.screenshot("two-notebooks", picture)


def test_one_press_of_stop_ends_fit_cell_and_run_all(lab):
    lab.open_notebook("stop.ipynb")
    lab._js("app => { app.commands.execute('notebook:run-all-cells'); }")
    lab.cell(1).locator(".jp-OutputArea", has_text="loss").first.wait_for()
    lab.page.locator('.jp-NotebookPanel-toolbar [data-command="notebook:interrupt-kernel"]').first.click()
    lab.wait_until_idle()
    (sentence,) = lab.error_outputs()
    assert re.match(r"FitInterrupted: Interrupted after [\d,]+ of 1,600,000 steps\.", sentence)
    shown = lab.cell(1).locator('[data-mime-type="application/vnd.jupyter.stderr"]').last.inner_text()
    assert shown.strip() == sentence.removeprefix("FitInterrupted: ")
    lab.screenshot("stopped", lab.cell(1))
    check = "print('went_on' in globals(), [hasattr(net, 'history') for net in nets], len(nets[0].history.losses) > 0)"
    lab._js(
        "(app, code) => app.shell.currentWidget.content.model.cells.get(2).sharedModel.setSource(code)", check
    )
    lab._js("app => { app.shell.currentWidget.content.activeCellIndex = 2; }")
    lab._js("app => app.commands.execute('notebook:run-cell')")
    lab.cell(2).get_by_text("False [True, False, False] True").wait_for()


def test_an_explorer_comes_back_after_saving_and_its_picture_is_in_the_export(lab):
    lab.open_notebook("explorer.ipynb")
    lab.run_cells([0, 1])
    stored = json.loads(lab.save().read_text())
    lab.open_notebook("explorer.ipynb")
    expect(lab.cell(1).get_by_role("slider").nth(4)).to_be_visible()
    assert lab.notebook.get_by_text("Error displaying widget").count() == 0
    (bundle,) = [out["data"] for out in stored["cells"][1]["outputs"]]
    png = "".join(bundle["image/png"].split())
    address = f"{lab.server.url}/nbconvert/html/notebooks/explorer.ipynb?token={lab.server.token}"
    page = urllib.request.urlopen(address, timeout=labdriver.PATIENCE).read().decode()
    assert base64.b64decode(png).startswith(b"\x89PNG") and png in page.replace("\n", "")


def test_the_log_of_a_session_alarms_nobody(lab):
    lab.open_notebook("explorer.ipynb")
    lab.run_cells([0, 1])
    lab.server.log.flush()
    lines = (lab.server.folder / "server.log").read_text().splitlines()
    expected = re.compile(
        r"^\s*$|\[C .*\] *$|To access the server|file://|Or copy and paste|http://127\.0\.0\.1"
    )
    assert [line for line in lines if not expected.search(line)] == []
    assert any("http://127.0.0.1" in line for line in lines)
    for label in ("Nbgrader", "Create Assignment", "Formgrader"):
        assert lab.page.get_by_text(label, exact=False).count() == 0
