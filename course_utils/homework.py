"""What the test cells of the homework say: each checks one thing and names the mistake that it looks like."""

import base64
import builtins
import copy
import hashlib
import inspect
import json
import linecache
import math
import re
import signal
import sys
import textwrap
import threading
import traceback
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from course_utils.data import data_folder

LINE = 80  # characters; nbgrader's report cuts longer lines off
ANSWERS = data_folder() / "homework_answers.json"  # made by tools/homework.py
_tried: set[str] = set()  # names of functions whose check ran in this kernel, wrappers' callees too


class WrongAnswer(AssertionError):
    """A sentence or two for the reader; notebooks show them alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [line for part in str(self).split("\n") for line in textwrap.wrap(part, LINE)]


class _TooLong(BaseException):
    """Not an Exception: `except Exception` in an answer must not swallow it."""


def check(
    function, *arguments, expected, mistakes: Mapping | None = None, tolerance=1e-5, seconds=5.0, **keywords
) -> None:
    """Pass where `function(*arguments, **keywords)` gives `expected`; else raise WrongAnswer in words.

    `expected` is a number, text, a tensor, a sequence of these, or the type of the error that must be raised.
    Whole numbers must be whole, floats agree up to `tolerance`, NumPy's arrays count as tensors. `mistakes`
    maps a sentence to the value which that mistake gives. The function works on copies and has `seconds`.
    """
    code = getattr(function, "__code__", None)
    _tried.update((getattr(function, "__name__", ""), *getattr(code, "co_names", ())))
    call = _describe_call(function, arguments, keywords)
    must_raise = isinstance(expected, type) and issubclass(expected, Exception)
    try:
        with _alarm(seconds), warnings.catch_warnings(), redirect_stderr(sys.stdout):
            warnings.simplefilter("ignore")  # nbgrader takes anything on stderr for a failed test
            got = _plain(function(*copy.deepcopy(arguments), **copy.deepcopy(keywords)))
    except _TooLong:
        text = f"{call} did not end within {seconds:g} seconds.\nThis looks like: a loop that never ends."
        raise WrongAnswer(text) from None
    except NotImplementedError:
        raise WrongAnswer(f"{call} is not written yet.") from None
    except Exception as error:
        if must_raise and isinstance(error, expected):
            return
        locked = {sys._getframe(1).f_code.co_filename, __file__}
        raise WrongAnswer(f"{call} stopped with {_describe_error(error, locked)}") from error
    if must_raise:
        reason = _wrong_kind(got, expected)
        raise WrongAnswer(f"{call} gave {_show(got)}; it should raise {expected.__name__}.{reason}")
    if not _same(got, expected, tolerance):
        reason = _wrong_kind(got, expected) or _matching(got, mistakes, expected)
        if not reason and isinstance(expected, Tensor) and got.shape != expected.shape:
            reason = f"\nThe shape is {list(got.shape)}, wanted is {list(expected.shape)}."
        raise WrongAnswer(f"{call} gave {_show(got)}.\nExpected: {_show_beside(expected, got)}.{reason}")


def check_entry(name: str, value, answer: str, question: str, mistakes: Mapping | None = None) -> None:
    """Pass where `value` is the number or word that was asked for; else raise WrongAnswer in words.

    `answer` is `digest(name, right value)`, so that a test cell does not give it away. `question` ends the sentence
    "NAME = VALUE is not ..."; `mistakes` maps a sentence to that mistake's value, or to the digest of one.
    """
    value = _plain(value)
    if value is None or value is Ellipsis:
        raise WrongAnswer(f"{name} is still empty. Wanted: {question}.")
    own = digest(name, value)
    if own != answer:
        opened = {sentence: value if wrong == own else wrong for sentence, wrong in (mistakes or {}).items()}
        reason = _matching(value, opened) or _nearly(name, value, answer)
        raise WrongAnswer(f"{name} = {_show(value)} is not {question}.{reason}")


def require(condition: object, sentence: str) -> None:
    """Raise WrongAnswer with `sentence` where `condition` does not hold."""
    if not condition:
        raise WrongAnswer(sentence)


def hint(task: str) -> None:
    """Print a solution's steps without what they compute; ValueError for no task's name, WrongAnswer before a try."""
    print(_open(task, "hint"))


def solution(task: str) -> None:
    """Print the solution of a function of the homework; raises as `hint` does."""
    print(_open(task, "solution"))


def _open(task: str, what: str) -> str:
    answers = json.loads(ANSWERS.read_text(encoding="utf-8"))
    if task not in answers:
        raise ValueError(f"{task!r} is no function of the homework; those are {', '.join(answers)}.")
    require(task in _tried, f"Try first: write something into {task}, run its test below, then ask again.")
    return zlib.decompress(base64.b64decode(answers[task][what])).decode()


def digest(name: str, value: object) -> str:
    """Eight characters that stand for an answer: equal for 3 and 3.0, and for "A", " a " and "A: for this reason"."""
    value = _plain(value)
    text = f"{float(value):.4f}" if isinstance(value, Real) else str(value).strip().lower()
    text = re.sub(r"^([a-z])\b.+", r"\1", text, flags=re.DOTALL)  # a letter with words behind it
    return hashlib.sha256(f"{name}={text}".encode()).hexdigest()[:8]


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield  # Windows has no alarm: there the stop button ends a loop
        return

    def ring(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _nearly(name: str, value: object, answer: str) -> str:
    """What keeps a right entry from being one: its commas or quotes, or that it was not rounded."""
    with suppress(TypeError, ValueError, OverflowError):  # of what is no number, or not finite
        if isinstance(value, tuple):  # 1,114,112
            number = int(f"{value[0]}" + "".join(f"{each:03d}" for each in value[1:]))
            said = "Commas make several numbers of one: leave them out."
        elif isinstance(value, str):
            number, said = float(value.replace(",", "")), "A number is wanted, without quotes."
        else:
            number, said = round(value), "A whole number is wanted: round it."
        return f"\n{said}" if digest(name, number) == answer else ""
    return ""


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        return value.detach().item() if value.ndim == 0 else value.detach()
    if hasattr(value, "__array__"):
        array = np.asarray(value)  # of NumPy, or of what converts to it
        numbers = torch.tensor(array) if array.dtype.kind in "bif" else value
        return numbers if array.ndim else array.item()
    return value


def _same(got: object, wanted: object, tolerance: float) -> bool:
    if isinstance(wanted, Tensor):
        alike = isinstance(got, Tensor) and got.shape == wanted.shape
        return alike and torch.allclose(got.double(), wanted.double(), rtol=tolerance, atol=tolerance)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        got = list(got) if isinstance(got, Tensor) else got
        alike = isinstance(got, Sequence) and len(got) == len(wanted)
        return alike and all(_same(_plain(g), w, tolerance) for g, w in zip(got, wanted, strict=True))
    if isinstance(wanted, Integral):
        return isinstance(got, Integral) and got == wanted
    if isinstance(wanted, Real):
        return isinstance(got, Real) and math.isclose(got, wanted, rel_tol=tolerance, abs_tol=tolerance)
    return type(got) is type(wanted) and got == wanted


def _matching(got: object, mistakes: Mapping[str, object] | None, expected: object = None) -> str:
    # What gives the right value here would explain nothing.
    fitting = [s for s, v in (mistakes or {}).items() if _equal(got, v) and not _equal(expected, v)]
    return f"\nThis looks like: {'; or: '.join(fitting)}." if fitting else ""


def _equal(one: object, other: object) -> bool:
    other = _plain(other)
    fraction = isinstance(one, Real) and not isinstance(one, Integral)
    return _same(one, float(other) if fraction and isinstance(other, Integral) else other, 1e-5)


def _wrong_kind(got: object, wanted: object) -> str:
    if got is None:
        return "\nNone came back: the body ends with return and the value that is wanted."
    fraction = isinstance(got, Real) and not isinstance(got, Integral)
    if isinstance(wanted, Integral) and fraction and (got == wanted or got % 1):
        return "\nA whole number is wanted, an int: // divides and rounds down, int(...) cuts off."
    for kind, words in ((Tensor, "A tensor"), (Real, "One number")):
        if isinstance(wanted, kind) and not isinstance(got, kind):
            return f"\n{words} is wanted; this is of type {type(got).__name__}."
    return ""


def _describe_call(function: Callable, arguments: Sequence, keywords: Mapping) -> str:
    named = {**dict(zip("0123456789", arguments, strict=False)), **keywords}
    with suppress(TypeError, ValueError):  # of other parameters than asked for: the call itself will say so
        named = inspect.signature(function).bind(*arguments, **keywords).arguments
    inside = ", ".join(f"{name}={_show(value)}" for name, value in named.items())
    return f"{getattr(function, '__name__', 'your function')}({inside})"


def _describe_error(error: Exception, locked: Collection[str]) -> str:
    """The error, and the innermost line that lies in a cell other than the test's: modules have a `__file__`."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if "__file__" not in frame.f_globals and frame.f_code.co_filename not in locked
    ]
    own = linecache.getline(*frames[-1]).strip() if frames else ""
    return f"{type(error).__name__}: {error}" + (f" (in the line: {own})" if own else "")


def _show(value: object) -> str:
    if isinstance(value, Tensor):
        return _show(value.tolist()) if value.numel() <= 16 else f"a tensor of shape {list(value.shape)}"
    if isinstance(value, list | tuple):
        inside = ", ".join(_show(_plain(each)) for each in value[:16]) + (", ..." if len(value) > 16 else "")
        alone = "," if len(value) == 1 else ""
        return f"({inside}{alone})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.6g}" if value % 1 else f"{value:.1f}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _show_beside(wanted: object, got: object) -> str:
    large = isinstance(wanted, Tensor) and wanted.numel() > 16
    if not large or not isinstance(got, Tensor) or got.shape != wanted.shape:
        return _show(wanted)
    first = (got.double() - wanted.double()).abs().gt(1e-5).nonzero()[0].tolist()
    right, wrong = (values[tuple(first)] for values in (wanted, got))
    return f"{_show(wanted)} with {right:.5g} in place of {wrong:.5g} at {first}"


def _explain_missing_name(shell: object, kind: type, error: NameError, trace: object, tb_offset=None) -> None:
    frame, _ = list(traceback.walk_tb(trace))[-1]
    lines = linecache.getlines(frame.f_code.co_filename)
    if any(re.match(r"(check|check_entry|require)\(", line) for line in lines):
        text = f"{error.name} is not defined: run the cell above first. A cell with a SyntaxError defines nothing."
        error._render_traceback_ = lambda: textwrap.wrap(text, LINE)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


if hasattr(builtins, "get_ipython"):  # in a notebook
    builtins.get_ipython().set_custom_exc((NameError,), _explain_missing_name)
