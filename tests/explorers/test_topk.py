"""topk_explorer against torch, on made-up logits and on the real classifier."""

import base64
import io
import re
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.explorers import topk, topk_explorer
from course_utils.explorers.description import opened
from course_utils.explorers.measured import guess, picture
from course_utils.metrics import target_ranks

CLASSES = tuple(f"class {i}" for i in range(40))
GENERATOR = torch.Generator().manual_seed(0)
LABELS = [0, 7, 39, 7, 20]
LOGITS = 3 * torch.randn(5, 40, generator=GENERATOR)
PHOTOS = [
    SimpleNamespace(name=f"photo_{i}", image=Image.radial_gradient("L").resize((300, 200 + i)), label=label)
    for i, label in enumerate(LABELS)
]


def explorer(photos, logits, classes, **initial):
    """topk_explorer on made-up photos, logits and classes."""
    data = {"photos": [photo.name for photo in photos], "classes": list(classes)}
    for photo, row in zip(photos, logits, strict=True):
        data |= {f"photo/{photo.name}": picture(photo), f"guesses/{photo.name}": guess(photo, row)}
    return opened(topk.describe, initial, data)


SHARED = explorer(PHOTOS, LOGITS, CLASSES)


@settings(max_examples=2 * settings.default.max_examples)
@given(st.integers(0, 4), st.integers(1, 10), st.floats(0.1, 5.0))
def test_state_is_torchs(number, k, temperature):
    e = SHARED.set(photo=f"photo_{number}", k=k, temperature=temperature)
    top = LOGITS[number].topk(k).indices.tolist()
    probabilities = (LOGITS[number] / e.values["temperature"]).softmax(0)
    assert e.problem is None and list(e.state["top"]) == top
    assert e.state["right"] == (LABELS[number] in top)
    assert e.state["rank"] == int(target_ranks(LOGITS[[number]], torch.tensor([LABELS[number]]))) + 1
    assert e.state["probabilities"] == pytest.approx(probabilities.topk(10).values.tolist(), abs=1e-5)
    assert e.state["target_probability"] == pytest.approx(float(probabilities[LABELS[number]]), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("k", [1, 5, 10])
@pytest.mark.parametrize("photo", [p.name for p in PHOTOS])
def test_pictures(photo, k, temperature, check_picture):
    e = SHARED.set(photo=photo, k=k, temperature=temperature)
    check_picture(e.svg)
    words = "Right" if e.state["right"] else "Wrong"
    assert f"{words} at k = {k}: the target is on rank {e.state['rank']}." in e.svg
    assert e.svg.count("◀ target") == 1


def test_temperature_moves_probabilities_and_no_rank():
    seen = [SHARED.set(photo="photo_1", k=10, temperature=t).state for t in (0.5, 1.0, 2.0)]
    assert len({s["rank"] for s in seen}) == len({s["top"] for s in seen}) == 1
    assert seen[0]["probabilities"][0] > seen[1]["probabilities"][0] > seen[2]["probabilities"][0]
    assert "The ranks do not depend on the temperature." in SHARED.svg


def test_a_tie_counts_against_the_target():
    e = explorer(PHOTOS[:1], torch.zeros(1, 3), ("a", "b", "c"))
    assert e.state["rank"] == 3 and e.state["top"] == (1,) and not e.state["right"]
    assert e.controls["k"].max == 3
    assert e.set(k=3).state["right"]


def test_long_class_names_are_shortened_not_spilled(check_picture):
    classes = [
        f"a very long class name, number {i}, with a synonym, and yet another synonym" for i in range(40)
    ]
    check_picture(explorer(PHOTOS, LOGITS, classes).svg, may_shorten=True)


def test_names_with_markup_stay_words(check_picture):
    e = explorer(PHOTOS[:1], torch.zeros(1, 2), ('<b>&"', "</svg>"))
    check_picture(e.svg)


def test_the_photo_is_a_small_jpeg():
    data = base64.b64decode(re.search(r"data:image/jpeg;base64,([^\"]+)", SHARED.svg)[1])
    assert Image.open(io.BytesIO(data)).size == (224, 224)


def test_initial_values():
    e = explorer(PHOTOS, LOGITS, CLASSES, photo="photo_2", k=5)
    assert (e.values["photo"], e.values["k"]) == ("photo_2", 5)
    with pytest.raises(ValueError, match="k can't be 11; it can be a number from 1 to 10"):
        explorer(PHOTOS, LOGITS, CLASSES, k=11)


@pytest.mark.slow
def test_with_the_courses_photos_and_classifier(check_picture):
    e = topk_explorer()
    ranks = {}
    for _, name in e.controls["photo"].options:
        ranks[name] = e.set(photo=name, k=5).state["rank"]
        check_picture(e.svg, may_shorten=True)
    assert len(ranks) >= 8
    assert any(1 < rank <= 5 for rank in ranks.values())  # a photo that is wrong at 1 and right at 5
