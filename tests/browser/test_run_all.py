"""Run All Cells in the real JupyterLab, as a member does first; tests/notebooks runs all lectures without a browser."""

import labdriver
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.lecture, pytest.mark.timeout(3600)]


def test_the_first_lecture_runs_from_top_to_bottom(open_lab):
    lab = open_lab(labdriver.LECTURES[0].name)
    lab.run_all(seconds=1800)
    assert lab.console_errors == []
