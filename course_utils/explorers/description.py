"""What an explorer is before JupyterLab or a web page shows it, in plain Python: controls, and a pure function."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

Values = Mapping[str, Any]  # what controls stand on by their names, or what was measured by its key


class Picture(NamedTuple):
    """What a drawing function returns: SVG text, and the numbers behind it.

    `limits` are a slider's highest value or a dropdown's options where other controls decide; `draw` takes others too.
    """

    svg: str
    state: dict[str, Any]
    limits: Mapping[str, Any] = {}


class Control(NamedTuple):
    """A "slider" or "switch", or a "choice" or "choice_slider" of (words, value) `options`; `at_rest`: once let go."""

    kind: str
    label: str
    value: Any
    low: float = 0
    high: float = 0
    step: float = 1
    options: tuple[tuple[str, Any], ...] = ()
    at_rest: bool = False


class Description(NamedTuple):
    """An explorer: what it is called, its controls, its presets, and `draw(values, data)`.

    `values` maps the controls' names to their values, `data` keys to what torch has measured (see `measured`). `draw`
    depends on these alone and raises nothing but ValueError; a picture that would say more with a missing key names it
    in its state as `waiting`. Where one control takes others along, `follow(before, values, moved, data)` returns the
    values to take once the controls in `moved` were moved; what else it returns is its memory and comes back in
    `before`, empty at first. `play` names a slider that can move by itself, `prepare` what an idle kernel looks up.
    """

    title: str
    controls: Mapping[str, Control]
    draw: Callable[[Values, Values], Picture]
    presets: Mapping[str, Values] = {}
    follow: Callable[..., dict[str, Any]] = lambda before, values, moved, data: dict(values)
    play: str = ""
    prepare: Iterable[str] = ()


def slider(label: str, value: float, low: float, high: float, step: float = 1) -> Control:
    """A slider of whole numbers, or of floats where one of the numbers is a float."""
    return Control("slider", label, value, low, high, step)


def choice(label: str, options: Iterable, value: Any, slides: bool = False, at_rest: bool = False) -> Control:
    """A dropdown, or a slider over a few values; `options` are values, or (words, value) pairs."""
    pairs = tuple(option if isinstance(option, tuple) else (str(option), option) for option in options)
    return Control("choice_slider" if slides else "choice", label, value, options=pairs, at_rest=at_rest)


class Measured(dict):
    """Measures what is looked up with `[key]` and keeps it; `get` and `in` see only what is there already."""

    def __missing__(self, key: str) -> Any:
        from course_utils.explorers.measured import measure  # torch, which most pictures can do without

        return self.setdefault(key, measure(key))


MEASURED = Measured()


def opened(describe: Callable[[Values], Description], initial: Values, data: Values = MEASURED):
    """An explorer whose controls stand on `initial`; raises ValueError for a name or value that is not offered."""
    from course_utils.explorers.base import Explorer

    described = describe(data)
    return Explorer(described, data, initial, described.prepare)


@cache
def opener(describe: Callable[[Values], Description]) -> Callable:
    """The function that a notebook calls to open what is described: its docstring is that of `describe`."""

    def explorer(**initial: Any):
        return opened(describe, initial)

    explorer.__name__ = explorer.__qualname__ = describe.__module__.rpartition(".")[2] + "_explorer"
    raised = "Raises ValueError for a name or value that the controls do not offer."
    explorer.__doc__ = f"{describe.__doc__.rstrip()}\n    {raised}\n    "
    explorer.__module__ = "course_utils.explorers"
    return explorer
