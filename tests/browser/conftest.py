"""One JupyterLab for all browser tests, a page for each; see tools/labdriver.py."""

from pathlib import Path

import cut_short
import labdriver
import pytest


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    scratch = scratch_notebook(tmp_path_factory.mktemp("scratch"))
    start = tmp_path_factory.mktemp("ipython")
    cut_short.prepare(start)
    environment = {"IPYTHONDIR": str(start)}
    with labdriver.LabServer([*labdriver.LECTURES, scratch], environment=environment) as server:
        yield server


@pytest.fixture
def open_lab(browser, server):
    """A function `open_lab(notebook_name, width=1280, theme="light") -> LabPage`."""
    pages = []

    def open_page(name: str, **options: object) -> labdriver.LabPage:
        pages.append(labdriver.LabPage(browser, server, **options))
        pages[-1].open_notebook(name)
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def scratch_notebook(folder: Path) -> Path:
    """A notebook that shows what the tests of the driver itself need."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [
        new_code_cell("import ipywidgets"),
        new_code_cell("ipywidgets.IntSlider(value=3, max=10, description='stride')"),
        new_code_cell("1 / 0"),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / "scratch.ipynb")
    return folder / "scratch.ipynb"
