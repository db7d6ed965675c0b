"""Numbers as words, read back as numbers; palette and words load in a Python that has nothing installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils import words
from course_utils.colours import COLOURS, family_colour

FOLDER = Path(words.__file__).parent
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


def read(text: str) -> float:
    digits, _, unit = text.partition(" ")
    return float(digits) * UNITS[unit]


@given(st.floats(-9.99e20, 9.99e20))
def test_short_says_the_number_to_three_digits(value):
    assert read(words.short(value)) == pytest.approx(float(f"{value:.3g}"), rel=1e-12)


@given(st.integers(0, 10**20))
def test_short_has_at_most_three_digits_and_no_exponent(value):
    digits = words.short(value).partition(" ")[0]
    assert "e" not in digits and len(digits.replace(".", "")) <= 3


@pytest.mark.parametrize(
    "value, text",
    [
        (999_999, "1 M"),
        (999_499, "999 k"),
        (999, "999"),
        (999.6, "1 k"),
        (1_500_000, "1.5 M"),
        (0, "0"),
        (0.25, "0.25"),
    ],
)
def test_short_at_its_borders(value, text):
    assert words.short(value) == text


@given(st.integers(-(10**15), 10**15))
def test_number_says_whole_numbers_exactly(value):
    assert int(words.number(value).replace(",", "")) == value
    assert words.number(np.int64(value)) == words.number(value)


@given(st.floats(1e-4, 1e12))
def test_number_is_right_to_three_digits_without_an_exponent(value):
    text = words.number(value).replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.0051) and "e" not in text


def test_number_does_not_fall_into_an_exponent_below_a_thousand():
    assert words.number(999.9) == "1,000"


@given(st.floats(0, 1), st.integers(0, 3))
def test_percent_is_the_share_and_says_all_or_nothing_only_where_it_is(share, digits):
    text = words.percent(share, digits)
    value = float(text.strip("<>% "))
    assert abs(value - 100 * share) <= 10.0**-digits
    assert (text == "0 %") == (share == 0) and (text == "100 %") == (share == 1)


@pytest.mark.parametrize(
    "share, text", [(0.0955, "9.6 %"), (0.0004, "< 0.1 %"), (1, "100 %"), (0, "0 %"), (0.9999, "> 99.9 %")]
)
def test_percent_at_its_borders(share, text):
    assert words.percent(share) == text


def test_percent_without_digits():
    shares = (0.005, 0.004, 0.5, 0.995, 0.999, -0.25, 1.5)
    assert [words.percent(share, 0) for share in shares] == [
        "< 1 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "> 99 %",
        "-25 %",
        "150 %",
    ]


def test_counts_and_shapes_and_bytes():
    assert words.plural(1, "layer") == "1 layer"
    assert words.plural(2048, "layer") == "2,048 layers"
    assert words.plural(0, "branch", "branches") == "0 branches"
    assert words.shape((16, 5, 5)) == "16 × 5 × 5"
    assert [words.memory(n) for n in (1, 999, 117_600)] == ["1 byte", "999 bytes", "118 kB"]


def test_a_family_has_one_colour():
    assert family_colour("ResNet-50") == family_colour("resnet18") == COLOURS["blue"]
    assert family_colour("something", "black") == COLOURS["black"]


@pytest.mark.parametrize("name", ["words", "colours"])
def test_it_needs_nothing_but_python(name):
    code = f"import sys; sys.path.append({str(FOLDER)!r}); import {name}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)  # -S: without site-packages


def test_what_was_given_is_described():
    assert words.described(np.ones((2, 3), np.float32)) == "float32 [2, 3]"
    assert words.described(np.ones((1, 2), np.int8)) == "int8 [1, 2]"
    assert words.described(None) == "NoneType"
