"""Other front ends than JupyterLab: Notebook 7 with a kernel, and what viewers show of the stored lectures."""

import fnmatch

import execute
import labdriver
import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook
from traitlets.config import Config

PLAIN = ["image/png", "image/jpeg", "text/markdown", "text/plain"]  # what a code host's viewer draws itself
VS_CODE = [  # orderOfMimeTypes in microsoft/vscode, extensions/ipynb/src/deserializers.ts
    "application/vnd.*",
    "application/vdom.*",
    "application/geo+json",
    "application/x-nteract-model-debug+json",
    "text/html",
    "application/javascript",
    "image/gif",
    "text/latex",
    "text/markdown",
    "image/png",
    "image/svg+xml",
    "image/jpeg",
    "application/json",
    "text/plain",
]
every_lecture = pytest.mark.parametrize("path", labdriver.LECTURES, ids=lambda path: path.stem)


def first_shown(data: dict, order: list[str]) -> str | None:
    """The MIME type of an output that a front end with this order takes."""
    return next((mime for pattern in order for mime in fnmatch.filter(data, pattern)), None)


@every_lecture
@pytest.mark.parametrize("order", [PLAIN, VS_CODE], ids=["plain viewer", "VS Code"])
def test_every_stored_explorer_and_figure_is_shown_as_a_picture(path, order):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for cell in cells:
        bundles = [output.data for output in cell.outputs if "data" in output]
        shown = [first_shown(data, order) for data in bundles]
        drawn = [mime for mime in shown if mime in ("image/png", "image/jpeg")]
        assert None not in shown, f"an output is left out: {cell.source!r}"
        assert len(drawn) == sum(any(mime.startswith("image/") for mime in data) for data in bundles)
        assert drawn or "explorer" not in cell.metadata.get("tags", []), f"no picture: {cell.source!r}"


@pytest.mark.browser
@every_lecture
def test_a_page_without_scripts_and_network_shows_every_picture(browser, path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [
        output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output
    ]
    stored = [data for data in outputs if first_shown(data, PLAIN).startswith("image/")]
    config = Config(NbConvertBase={"display_data_priority": PLAIN})
    page, _ = HTMLExporter(config=config).from_notebook_node(notebook)
    (tmp_path / "lecture.html").write_text(page, encoding="utf-8")
    context = browser.new_context(java_script_enabled=False, offline=True)
    try:
        tab = context.new_page()
        tab.goto((tmp_path / "lecture.html").as_uri())
        pictures = tab.locator(".jp-OutputArea img").evaluate_all(
            "all => all.map(image => image.naturalWidth)"
        )
    finally:
        context.close()
    assert len(pictures) == len(stored) > 0
    assert min(pictures) > 50


@pytest.fixture(scope="module")
def notebook_7(browser, tmp_path_factory):
    sources = ["from course_utils.explorers import conv_explorer", "conv_explorer()"]
    cells = [new_code_cell(source) for source in sources]
    path = tmp_path_factory.mktemp("written") / "explorer.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": execute.KERNELSPEC}), path)
    with labdriver.LabServer([path], application="notebook") as server:
        page = labdriver.LabPage(browser, server)
        yield page
        page.close()


@pytest.mark.browser
def test_an_explorer_in_notebook_7_follows_the_mouse(notebook_7):
    notebook_7.open_notebook("explorer.ipynb")
    notebook_7.run_cells([0, 1])
    picture = notebook_7.cell(1).locator(".jp-OutputArea svg:has(title)")
    before = picture.evaluate("node => node.outerHTML")
    handle, mouse = notebook_7.cell(1).get_by_role("slider").first, notebook_7.page.mouse
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(box["x"] + 80, box["y"] + box["height"] / 2, steps=8)
    mouse.up()
    while picture.evaluate("node => node.outerHTML") == before:
        notebook_7.page.wait_for_timeout(50)
    notebook_7.screenshot("notebook-7", notebook_7.cell(1))
    assert notebook_7.error_outputs() == []
    # Notebook 7.6 itself raises this at each start, with settings of its own too.
    assert [error for error in notebook_7.console_errors if "(reading 'schema')" not in error] == []
