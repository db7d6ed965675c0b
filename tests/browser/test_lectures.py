"""Lecture notebooks in the real JupyterLab: they open, and their explorers follow the keyboard.

Each lecture is opened once, and its tests follow each other in that page.
"""

import labdriver
import pytest
from playwright.sync_api import Locator

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=labdriver.LECTURES, ids=lambda path: path.stem)
def opened(browser, server, request):
    """A lecture as a fresh clone shows it: nothing has run."""
    lab = labdriver.LabPage(browser, server)
    lab.open_notebook(request.param.name)
    yield lab, request.param
    lab.close()


@pytest.fixture(scope="module")
def running(opened):
    """The same page once the explorers have a kernel."""
    lab, path = opened
    first = lab.code_cells()[0]["index"]
    lab.run_cells([first, *tagged(lab, "explorer", "explorer-setup")])
    return lab, path


def tagged(lab: labdriver.LabPage, *tags: str) -> list[int]:
    return [cell["index"] for cell in lab.code_cells() if set(tags) & set(cell["tags"])]


def pictures(lab: labdriver.LabPage, index: int) -> str:
    """Markup of all pictures that the widgets of a cell show."""
    return "\n".join(
        lab.cell(index)
        .locator(".jp-OutputArea svg:has(title)")
        .evaluate_all("nodes => nodes.map(node => node.outerHTML)")
    )


def press_arrow(lab: labdriver.LabPage, index: int, slider: int, seconds: int = 2) -> bool:
    """Focus a slider of a cell, press an arrow key, and tell whether a picture changed within some seconds."""
    for key in ("ArrowRight", "ArrowLeft"):  # it may stand at its end
        before = pictures(lab, index)
        lab.cell(index).get_by_role("slider").nth(slider).focus()
        lab.page.keyboard.press(key)
        for _ in range(10 * seconds):
            lab.page.wait_for_timeout(100)
            if pictures(lab, index) != before:
                return True
    return False


def test_a_fresh_clone_shows_every_explorers_picture(opened):
    lab, _ = opened
    for index in tagged(lab, "explorer"):
        cell = lab.scroll_to_cell(index)
        picture = cell.locator(".jp-RenderedImage img").first
        picture.wait_for()
        assert picture.evaluate("image => image.naturalWidth") > 300
    assert lab.notebook.get_by_text("Error displaying widget").count() == 0
    assert lab.page.locator(".jp-Dialog, .Toastify__toast").count() == 0
    assert lab.console_errors == []


def test_opening_and_saving_leaves_the_file_as_it_was(opened):
    lab, path = opened
    assert lab.save().read_bytes() == path.read_bytes()


def test_explorers_follow_the_keyboard(running):
    lab, path = running
    explorers = tagged(lab, "explorer")
    assert explorers, "no cell is tagged explorer"
    for index in explorers:
        lab.scroll_to_cell(index)
        sliders = lab.cell(index).get_by_role("slider").count()
        assert sliders, f"cell {index} shows no slider"
        moved = [press_arrow(lab, index, slider) for slider in range(sliders)]
        if not any(moved):  # on a busy machine: once more, with patience
            moved = [press_arrow(lab, index, slider, seconds=60) for slider in range(sliders)]
        assert any(moved), f"cell {index}: the picture stays whatever slider moves"
        lab.screenshot(f"{path.stem}-explorer-{index:03d}", lab.cell(index))
    assert lab.error_outputs() == []
    assert lab.console_errors == []


def test_explorers_fit_a_narrow_window_and_follow_the_dark_theme(running):
    lab, path = running
    lab.run_cells(tagged(lab, "explorer"))  # as they begin, not as the keyboard left them
    lab.page.set_viewport_size({"width": 900, "height": 900})
    lab.page.wait_for_function(
        "() => document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)').getBoundingClientRect().right <= 900"
    )
    shown = ".jp-OutputArea svg:has(title)"
    light = {}
    for index in tagged(lab, "explorer"):
        picture = lab.scroll_to_cell(index).locator(shown).first
        light[index] = text_colour(picture)
        assert hidden_pixels(picture) <= 4, f"cell {index} is wider than the window: scroll to see all of it"
        assert cut_off_texts(picture) == [], f"cell {index}"
    lab.set_theme("dark")
    for index, colour in light.items():
        cell = lab.scroll_to_cell(index)
        assert text_colour(cell.locator(shown).first) != colour, f"cell {index}"
        lab.screenshot(f"{path.stem}-dark-900-{index:03d}", cell)
    lab.set_theme("light")
    assert lab.console_errors == []


def hidden_pixels(picture: Locator) -> float:
    """How far a picture reaches over the right edge of the output that it stands in."""
    return picture.evaluate(
        """svg => svg.getBoundingClientRect().right -
                  svg.closest(".jp-OutputArea-output").getBoundingClientRect().right"""
    )


def cut_off_texts(picture: Locator) -> list[str]:
    """Texts of a picture that reach over its edge, by more than a pixel of rounding."""
    return picture.evaluate(
        """svg => { const edge = svg.getBoundingClientRect();
                    return [...svg.querySelectorAll("text")].filter(text => {
                        const box = text.getBoundingClientRect();
                        return box.left < edge.left - 1 || box.right > edge.right + 1 ||
                               box.top < edge.top - 1 || box.bottom > edge.bottom + 1;
                    }).map(text => text.textContent); }"""
    )


def text_colour(picture: Locator) -> str:
    return picture.locator("text").first.evaluate("node => getComputedStyle(node).fill")
