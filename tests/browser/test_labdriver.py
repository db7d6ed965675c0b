"""The driver sees what goes wrong: otherwise the tests that use it could not fail."""

import pytest

pytestmark = pytest.mark.browser


def test_run_all_reports_an_error_output(open_lab):
    lab = open_lab("scratch.ipynb")
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        lab.run_all()


def test_console_errors_are_collected(open_lab):
    lab = open_lab("scratch.ipynb")
    assert lab.console_errors == []
    lab.page.evaluate("() => { console.error('broken'); setTimeout(() => { throw new Error('lost'); }); }")
    while len(lab.console_errors) < 2:
        lab.page.wait_for_timeout(50)
    broken, lost = sorted(lab.console_errors)
    assert "broken" in broken and "lost" in lost


def test_the_keyboard_moves_a_slider(open_lab):
    lab = open_lab("scratch.ipynb", width=900, theme="dark")
    lab.run_cells([0, 1])
    handle = lab.scroll_to_cell(1).get_by_role("slider")
    handle.focus()
    lab.page.keyboard.press("ArrowRight")
    lab.cell(1).locator(".widget-readout", has_text="4").wait_for()


def test_jupyterlab_opens_without_asking_or_announcing_anything(open_lab):
    lab = open_lab("scratch.ipynb")
    lab.page.wait_for_timeout(2000)  # the news would come after start-up
    assert lab.page.locator(".jp-Dialog, .Toastify__toast").count() == 0
    assert lab.page.locator(".jp-Toolbar-kernelName").inner_text().startswith("Python 3")
