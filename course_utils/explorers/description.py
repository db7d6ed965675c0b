"""What an explorer is before anything shows it: its controls as plain data, and a pure function that draws.

Needs nothing but Python, so that JupyterLab's kernel (`base.Explorer`) and a web page (Pyodide) show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Values = Mapping[str, Any]  # what controls stand on by their names, or what was measured by its key


@dataclass(frozen=True)
class Picture:
    """What a drawing function returns: SVG text, and the numbers behind it.

    `limits` moves a control's range where it depends on others: the highest value of a slider, or the
    options of a dropdown. The function itself must cope with a value that lies outside.
    """

    svg: str
    state: dict[str, Any]
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Control:
    """One control: a "slider" from `low` to `high`, a "choice" or "choice_slider" of `options`, or a "switch".

    `options` are (words, value) pairs. `at_rest`: the value counts once the reader lets go of the slider.
    """

    kind: str
    label: str
    value: Any
    low: float = 0
    high: float = 0
    step: float = 1
    options: tuple[tuple[str, Any], ...] = ()
    at_rest: bool = False


@dataclass(frozen=True)
class Description:
    """An explorer: what it is called, its controls, its presets, and `draw(values, data)`.

    `draw` depends on its two arguments alone and raises nothing but ValueError. `values` maps the controls'
    names to their values; `data` maps keys to what torch has measured (see `course_utils.explorers.measured`),
    and `needs(values)` names those without which a setting can't be drawn; a picture that would say more with
    a key that is missing names it in its state as `waiting`. Where one control takes others along,
    `follow(before, values, moved, data)` returns the values to take once the controls in `moved` were moved;
    what else it returns is its memory, which comes back in `before`, empty at first. `play` names a slider that
    moves by itself when asked to.
    """

    title: str
    controls: Mapping[str, Control]
    draw: Callable[[Mapping[str, Any], Mapping[str, Any]], Picture]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: Callable[[Mapping[str, Any]], Sequence[str]] = lambda values: ()
    follow: Callable[..., dict[str, Any]] = lambda before, values, moved, data: dict(values)
    play: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """What the controls stand on at first."""
        return {name: control.value for name, control in self.controls.items()}

    def as_data(self) -> dict[str, Any]:
        """Title, controls, presets and play as what JSON can hold, for a page that makes its own controls."""
        controls = [{"name": name, **vars(control)} for name, control in self.controls.items()]
        presets = {name: dict(preset) for name, preset in self.presets.items()}
        return {"title": self.title, "controls": controls, "presets": presets, "play": self.play}


def slider(
    label: str, value: float, low: float, high: float, step: float = 1, at_rest: bool = False
) -> Control:
    """A slider of whole numbers, or of floats where one of the numbers is a float."""
    return Control("slider", label, value, low, high, step, at_rest=at_rest)


def choice(label: str, options: Sequence[Any], value: Any) -> Control:
    """A dropdown; `options` are values, or (words, value) pairs."""
    return Control("choice", label, value, options=_pairs(options))


def choice_slider(label: str, options: Sequence[Any], value: Any, at_rest: bool = False) -> Control:
    """A slider over a few values that are not evenly spaced numbers."""
    return replace(choice(label, options, value), kind="choice_slider", at_rest=at_rest)


def switch(label: str, value: bool) -> Control:
    """A box to tick."""
    return Control("switch", label, value)


def _pairs(options: Sequence[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(option if isinstance(option, tuple) else (str(option), option) for option in options)
