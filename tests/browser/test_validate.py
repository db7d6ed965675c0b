"""What a member does with a week's homework in the real JupyterLab: write, press Validate, read what fails."""

import labdriver
import nbformat
import pytest
from homework import COURSE
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

WEEK = COURSE / "release" / "week2_receptive_fields" / "week2_receptive_fields.ipynb"


def test_validate_runs_all_and_lists_the_tests_that_fail(browser, tmp_path):
    notebook = nbformat.read(WEEK, as_version=4)
    (answer,) = [cell for cell in notebook.cells if cell.id == "receptive_field"]
    answer.source = "def receptive_field(layers):\n    return 'wide'"
    nbformat.write(notebook, tmp_path / WEEK.name)
    with labdriver.LabServer([tmp_path / WEEK.name]) as server:
        lab = labdriver.LabPage(browser, server)
        lab.open_notebook(WEEK.name)
        lab.page.get_by_role("button", name="Validate").click()
        results = lab.page.get_by_role("dialog").filter(has_text="Validation Results")
        expect(results).to_contain_text("The following cell failed")
        expect(results).to_contain_text("'wide'")
        expect(results).to_contain_text("is still empty")
        lab.screenshot("validate", results)
        lab.close()
