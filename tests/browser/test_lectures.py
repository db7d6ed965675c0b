"""Lecture notebooks in the real JupyterLab: they open, and their explorers follow the keyboard."""

import labdriver
import pytest
from playwright.sync_api import Locator

pytestmark = pytest.mark.browser
every_notebook = pytest.mark.parametrize("name", [path.name for path in labdriver.LECTURES])


def tagged(lab: labdriver.LabPage, *tags: str) -> list[int]:
    return [cell["index"] for cell in lab.code_cells() if set(tags) & set(cell["tags"])]


def run_explorers(lab: labdriver.LabPage) -> None:
    first = lab.code_cells()[0]["index"]
    lab.run_cells([first, *tagged(lab, "explorer", "explorer-setup")])


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


@every_notebook
def test_a_fresh_clone_shows_every_explorers_picture(open_lab, name):
    lab = open_lab(name)
    for index in tagged(lab, "explorer"):
        cell = lab.scroll_to_cell(index)
        picture = cell.locator(".jp-RenderedImage img").first
        picture.wait_for()
        assert picture.evaluate("image => image.naturalWidth") > 300
    assert lab.notebook.get_by_text("Error displaying widget").count() == 0
    assert lab.page.locator(".jp-Dialog, .Toastify__toast").count() == 0
    assert lab.console_errors == []


@every_notebook
def test_explorers_follow_the_keyboard(open_lab, name):
    lab = open_lab(name)
    run_explorers(lab)
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
        lab.screenshot(f"{name.removesuffix('.ipynb')}-explorer-{index:03d}", lab.cell(index))
    assert lab.error_outputs() == []
    assert lab.console_errors == []


@every_notebook
def test_explorers_fit_a_narrow_window_and_follow_the_dark_theme(open_lab, name):
    lab = open_lab(name, width=900)
    run_explorers(lab)
    for index in tagged(lab, "explorer"):
        cell = lab.scroll_to_cell(index)
        picture = cell.locator(".jp-OutputArea svg:has(title)").first
        light = text_colour(picture)
        assert hidden_pixels(picture) <= 4, f"cell {index} is wider than the window: scroll to see all of it"
        assert cut_off_texts(picture) == [], f"cell {index}"
        lab.set_theme("dark")
        assert text_colour(picture) != light
        lab.screenshot(f"{name.removesuffix('.ipynb')}-dark-900-{index:03d}", cell)
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
