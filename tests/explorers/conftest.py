"""Checks that every explorer's picture must pass, whatever its setting."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from xml.etree import ElementTree

import pytest

from course_utils.explorers import svg as svg_text

_SVG = "{http://www.w3.org/2000/svg}"
_SHIFT = {"start": 0, "middle": 0.5, "end": 1}


def _texts(element, inherited):
    """(element, attributes) of each line of text; what a group says holds for its texts."""
    style = inherited | {
        k: v for k, v in element.attrib.items() if k in ("font-size", "font-weight", "text-anchor")
    }
    if element.tag == f"{_SVG}text":
        yield element, style
    for child in element:
        yield from _texts(child, style)


def _text_boxes(root):
    """(left, top, right, bottom, words) of each line of text, in the widest font a reader may have."""
    for element, style in _texts(root, {}):
        words, size = element.text or "", float(style["font-size"])
        width = svg_text.text_width(words, size, style.get("font-weight") == "700")
        left = float(element.get("x")) - _SHIFT[style.get("text-anchor", "start")] * width
        y = float(element.get("y"))
        yield left, y - 0.75 * size, left + width, y + 0.2 * size, words


def _overlap(a, b, slack=1):
    return min(a[2], b[2]) - max(a[0], b[0]) > slack and min(a[3], b[3]) - max(a[1], b[1]) > slack


@pytest.fixture(scope="session")
def in_a_loop():
    """Run a coroutine function in a loop, as a kernel would.

    In a thread of its own: this one may have a loop, since the browser tests leave theirs running.
    """

    def run(scenario):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, scenario()).result()

    return run


@pytest.fixture(scope="session")
def check_picture():
    """A function that asserts what must hold for any picture: readable, nothing cut off, small, described."""

    def check(svg: str, most_bytes: int = 40_000, may_shorten: bool = False) -> None:
        root = ElementTree.fromstring(svg)
        assert root.tag == f"{_SVG}svg" and root.get("role") == "img"
        assert len(root.findtext(f"{_SVG}title")) > 10
        width, height = map(float, root.get("viewBox").split()[2:])
        assert "width:100%" in root.get("style")
        least = float(re.search(r"min-width:([\d.]+)px", root.get("style"))[1])
        smallest = min(float(style["font-size"]) for _, style in _texts(root, {}))
        assert smallest * least / width > 10.99
        assert len(svg.encode()) <= most_bytes
        assert not re.search(r"\bnan\b|\binf\b", svg.split("data:image")[0])
        boxes = list(_text_boxes(root))
        for box in boxes:
            assert box[0] >= -1 and box[1] >= -1 and box[2] <= width + 1 and box[3] <= height + 1, box
            assert may_shorten or not box[4].endswith("…"), box[4]
        for a, b in combinations(boxes, 2):
            assert not _overlap(a, b), (a, b)

    return check


@pytest.fixture(scope="session")
def dark_theme() -> dict[str, str]:
    """The values of JupyterLab's dark theme, for `svg.to_png(picture, theme=...)`."""
    return {
        "--jp-ui-font-color1": "#ffffff",
        "--jp-ui-font-color2": "rgba(255, 255, 255, 0.7)",
        "--jp-layout-color0": "#111111",
        "--jp-layout-color1": "#212121",
        "--jp-layout-color2": "#424242",
        "--jp-border-color1": "#616161",
        "--jp-border-color2": "#424242",
    }
