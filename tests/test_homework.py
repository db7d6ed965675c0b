"""What a test cell says, in words, for every way in which an answer can be wrong."""

import contextlib
import sys
import warnings

import numpy as np
import pytest
import torch

from course_utils.homework import WrongAnswer, check, check_entry, digest, require


def said(*arguments, **keywords):
    with pytest.raises(WrongAnswer) as caught:
        check(*arguments, **keywords)
    return str(caught.value)


def size(n, k, stride=1):
    return n - k + 1


def test_message_has_input_result_expectation_and_mistake():
    assert said(size, 9, 3, stride=2, expected=4, mistakes={"the stride forgotten": 7}) == (
        "size(n=9, k=3, stride=2) gave 7.\nExpected: 4.\nThis looks like: the stride forgotten."
    )


def test_unknown_mistake_is_not_guessed():
    assert said(size, 9, 3, expected=4, mistakes={"the stride forgotten": 6}).endswith("Expected: 4.")


@pytest.mark.parametrize(
    "expected, got", [(4, 4), (4, np.int64(4)), (0.5, torch.tensor(0.5)), (0.1 + 0.2, 0.3)]
)
def test_equal_numbers_pass(expected, got):
    check(lambda: got, expected=expected)


@pytest.mark.parametrize(
    "expected, got, words",
    [
        (4, None, "Nothing is returned yet"),
        (4, 4.5, "a division with /"),
        (0.5, [0.5], "something else than one number"),
        (torch.ones(2), [1, 1], "something else than a tensor"),
        (torch.ones(2), torch.ones(3), "The shape is [3], wanted is [2]"),
    ],
)
def test_general_reasons(expected, got, words):
    assert words in said(lambda: got, expected=expected)


def test_tensors_compare_by_value():
    check(lambda: torch.tensor([1, 2]), expected=torch.tensor([1.0, 2.0]))
    dot = torch.zeros(5, 5)
    dot[2, 3] = 1
    assert "with 1 in place of 0 at [2, 3]" in said(lambda: torch.zeros(5, 5), expected=dot)


def test_sequences_compare_by_item():
    check(lambda: [1, 2.0], expected=(1, 2.0))
    assert "gave (1, 3)" in said(lambda: (1, 3), expected=(1, 2))


def test_wanted_error():
    def refuses():
        raise ValueError("too large")

    check(refuses, expected=ValueError)
    assert "should raise ValueError" in said(lambda: 3, expected=ValueError)
    assert "stopped with ValueError: too large" in said(refuses, expected=3)


def test_unwritten_answer():
    def later():
        raise NotImplementedError

    assert said(later, expected=3) == "later() is not written yet."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no alarm")
def test_endless_loop_is_named_even_where_it_catches_exceptions():
    def endless():
        while True:
            with contextlib.suppress(Exception):
                sum(range(1000))

    assert "a loop that never ends" in said(endless, expected=3, seconds=0.2)


def test_arguments_are_copies():
    images = torch.zeros(2)
    check(lambda x: x.add_(1), images, expected=torch.ones(2))
    assert images.sum() == 0


def test_warnings_cost_nothing(capsys):
    def warns():
        warnings.warn("old", stacklevel=1)
        print("note", file=sys.stderr)
        return 1

    check(warns, expected=1)
    assert capsys.readouterr().err == ""


def test_entry():
    answer = digest("units", 16384)
    check_entry("units", 16384.0, answer, "the units")
    with pytest.raises(WrongAnswer, match=r"units is still empty\. Wanted: the units"):
        check_entry("units", None, answer, "the units")
    with pytest.raises(WrongAnswer, match=r"units = 1024 is not the units\.\nThis looks like: one map only"):
        check_entry("units", 1024, answer, "the units", {"one map only": 1024})


def test_letters_need_no_care():
    check_entry("slip", " b ", digest("slip", "B"), "the slip")
    assert digest("slip", "B") != digest("other", "B")


def test_require():
    require(True, "never said")
    with pytest.raises(WrongAnswer, match="said"):
        require(0, "said")


def test_notebook_shows_short_lines_and_no_traceback():
    lines = WrongAnswer("word " * 40 + "\nsecond part")._render_traceback_()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "second part"
