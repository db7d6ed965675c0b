"""What a test cell says, in words, for every way in which an answer can be wrong."""

import contextlib
import linecache
import sys
import warnings

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from course_utils.homework import WrongAnswer, check, check_entry, digest, hint, require, solution


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


def test_a_mistake_in_large_whole_numbers_is_named_only_where_it_is_exactly_that():
    with pytest.raises(WrongAnswer) as heard:
        check(lambda: 884_737, expected=885_120, mistakes={"the biases forgotten": 884_736})
    assert "looks like" not in str(heard.value)


@pytest.mark.parametrize(
    "expected, got", [(4, 4), (4, np.int64(4)), (0.5, torch.tensor(0.5)), (0.1 + 0.2, 0.3)]
)
def test_equal_numbers_pass(expected, got):
    check(lambda: got, expected=expected)


@pytest.mark.parametrize(
    "expected, got, words",
    [
        (4, None, "None came back"),
        (4, 4.5, "A whole number is wanted, an int"),
        (4, 4.0, "A whole number is wanted, an int"),
        (0.5, [0.5], "One number is wanted; this is of type list"),
        (torch.ones(2), [1, 1], "A tensor is wanted; this is of type list"),
        (torch.ones(2), torch.ones(3), "The shape is [3], wanted is [2]"),
    ],
)
def test_general_reasons(expected, got, words):
    assert words in said(lambda: got, expected=expected)


def test_a_whole_float_that_is_wrong_hears_of_the_mistake():
    assert said(lambda: 7.0, expected=4, mistakes={"the stride forgotten": 7}).endswith(
        "the stride forgotten."
    )


def test_a_mistake_that_gives_the_right_value_is_passed_over():
    assert "looks like" not in said(lambda: 55.0, expected=55, mistakes={"the padding counted once": 55})


def test_two_mistakes_of_one_value_are_both_named():
    assert said(lambda: 1, expected=2, mistakes={"a": 1, "b": 1}).endswith("This looks like: a; or: b.")


@pytest.mark.parametrize("right", [np.array([[1.0, 2]]), np.array([[1, 2]]), torch.tensor([[1, 2]])])
def test_arrays_count_as_tensors(right):
    check(lambda: right, expected=torch.tensor([[1.0, 2]]))


def test_a_large_array_is_shown_by_its_shape():
    assert "a tensor of shape [5, 5]" in said(lambda: np.zeros((5, 5)), expected=torch.ones(5, 5))


def in_cells(*sources):
    """Run each source as a notebook does: every cell has a file name of its own, none has a file."""
    names = {"check": check}
    for number, source in enumerate(sources):
        file = f"<cell {number}>"
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        exec(compile(source, file, "exec"), names)


def test_the_line_that_stopped_is_the_students_own():
    answer = "import torch\n\ndef f(x):\n    return torch.stack(x)"
    test = "def wrapper(x):\n    return f(x) + 1\n\ncheck(wrapper, 3, expected=4)"
    with pytest.raises(WrongAnswer, match=r"\(in the line: return torch.stack\(x\)\)"):
        in_cells(answer, test)


def test_a_locked_line_that_stopped_is_not_shown():
    with pytest.raises(WrongAnswer, match="stopped with TypeError") as caught:
        in_cells(
            "def f(x):\n    return 'a'",
            "def wrapper(x):\n    return f(x) + 1\n\ncheck(wrapper, 3, expected=4)",
        )
    assert "in the line" not in str(caught.value)


def test_tensors_compare_by_value():
    check(lambda: torch.tensor([1, 2]), expected=torch.tensor([1.0, 2.0]))
    dot = torch.zeros(5, 5)
    dot[2, 3] = 1
    assert "with 1 in place of 0 at [2, 3]" in said(lambda: torch.zeros(5, 5), expected=dot)


def test_sequences_compare_by_item():
    check(lambda: [1, 2.0], expected=(1, 2.0))
    assert "gave (1, 3)" in said(lambda: (1, 3), expected=(1, 2))
    assert "gave (1,)" in said(lambda: (1,), expected=(1, 2))


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


@pytest.mark.parametrize(
    "written, said",
    [
        ((16, 384), "Commas make several numbers of one"),
        ("16384", "without quotes"),
        ("16,384", "without quotes"),
        (16384.4, "round it"),
    ],
)
def test_right_number_written_otherwise_hears_what_is_in_the_way(written, said):
    with pytest.raises(WrongAnswer, match=said):
        check_entry("units", written, digest("units", 16384), "the units")
    with pytest.raises(WrongAnswer, match=r"is not the units\.$"):
        check_entry("units", written, digest("units", 5), "the units")


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


def test_hint_and_solution_open_after_a_test_ran(capsys, monkeypatch):
    monkeypatch.setattr("course_utils.homework._tried", set())

    def spread(field):
        return None

    def wrapper(field):
        return compose(field)  # noqa: F821 - another cell defines it

    for open_ in (hint, solution):
        with pytest.raises(WrongAnswer, match="Try first: write something into spread"):
            open_("spread")
    said(spread, 3, expected=4)
    said(wrapper, 3, expected=4)
    hint("spread")
    assert "weights = ..." in capsys.readouterr().out
    solution("compose")
    assert "result[c:" in capsys.readouterr().out.replace("c :", "c:")
    with pytest.raises(ValueError, match="'sizes' is no function of the homework; those are output_size, "):
        solution("sizes")


@pytest.mark.slow
def test_a_name_that_is_missing_sends_the_reader_to_the_cell_above():
    setup = "from course_utils.homework import check"
    sources = [setup, "def f(x)\n    return x", "check(f, 1, expected=1)", "f + 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, allow_errors=True, startup_timeout=1000).execute()
    said = [["\n".join(out.traceback) for out in cell.outputs] for cell in notebook.cells]
    assert said[0] == []
    assert "SyntaxError" in said[1][0]
    assert said[2] == [
        "f is not defined: run the cell above first. A cell with a SyntaxError defines\nnothing."
    ]
    assert "NameError" in said[3][0]
