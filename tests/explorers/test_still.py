"""While a slider moves nothing jumps: a picture keeps its size, and labels their places."""

from itertools import cycle
from xml.etree import ElementTree

import pytest

from course_utils import explorers
from course_utils.explorers.network import NETWORKS, ROWS
from course_utils.explorers.receptive_field import FIELD_NETWORKS
from course_utils.models import VGG_CONFIGURATIONS

_TEXT = "{http://www.w3.org/2000/svg}text"
MOST = 12  # values of one slider
STARTS = {
    "network": [
        {"network": n, "rows": r, "input_size": NETWORKS[n].size}
        for n, r in zip(NETWORKS, cycle(ROWS), strict=False)
    ],
    "receptive_field": [{"network": name} for name in FIELD_NETWORKS],
    "vgg": [
        {"left": name, "kernel_size": k}
        for name, k in zip(VGG_CONFIGURATIONS, (1, 3, 5, 7, 3, 5), strict=True)
    ],
    "topk": [{"k": 1}, {"k": 5, "temperature": 2.0}],
}


def offered(control):
    """Values along a slider, both ends among them."""
    if control.kind == "choice_slider":
        return [value for _, value in control.options]
    steps = round((control.high - control.low) / control.step)
    return [
        control.low + control.step * i
        for i in sorted({round(steps * n / (MOST - 1)) for n in range(MOST)} | {1})
    ]


def measured(picture):
    """Width and height, and the places of each label: words without figures."""
    root, labels = ElementTree.fromstring(picture), {}
    for text in root.iter(_TEXT):
        words = text.text or ""
        if any(map(str.isalpha, words)) and not any(map(str.isdigit, words)):
            labels.setdefault(words, []).append((text.get("x"), text.get("y")))
    return root.get("viewBox"), labels


def jumped(before, after):
    """Labels that stand in both pictures, equally often, at other places."""
    both = {words for words in before.keys() & after.keys() if len(before[words]) == len(after[words])}
    return {words: (before[words], after[words]) for words in both if before[words] != after[words]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["conv", "inception", "network", "receptive_field", "residual", "topk", "vgg"]
)
def test_no_single_move_of_a_slider_moves_anything_else(name):
    e = getattr(explorers, f"{name}_explorer")()
    described, moves, seen = e.description, 0, set()
    at_first = {n: control.value for n, control in described.controls.items()}

    def picture_at(values):
        return measured(described.draw(values, e.data).svg)

    for start in [*described.presets.values(), *STARTS.get(name, [])]:
        start = {**at_first, **start}
        size, labels = picture_at(start)
        sliders = [n for n, control in described.controls.items() if control.kind.endswith("slider")]
        for slider in sliders:
            for value in offered(described.controls[slider]):
                try:
                    new_size, new_labels = picture_at({**start, slider: value})
                except ValueError:  # the sentence that stands there instead is another picture
                    continue
                moves += 1
                assert new_size == size, (start, slider, value)
                assert not jumped(labels, new_labels), (start, slider, value)
                seen |= new_labels.keys() & labels.keys()
    assert moves > 30 and len(seen) >= 5
