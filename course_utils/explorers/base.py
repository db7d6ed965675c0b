"""An explorer in JupyterLab: the controls of its description as widgets, and a view of what it draws.

An explorer in fifteen lines:

    from course_utils.explorers import layout, svg
    from course_utils.explorers.base import Explorer
    from course_utils.explorers.description import Description, Picture, slider

    def draw_square(values, data) -> Picture:
        side = values["side"]
        if side == 13:
            raise ValueError("A square of side 13 brings bad luck.")
        blocks = layout.words(f"area {side**2}"), layout.box(20 * side, 20 * side, svg.BLUE)
        return Picture(layout.page(f"A square of side {side}.", *blocks), {"area": side**2})

    square = Description("A square and its area.", {"side": slider("side", 5, 1, 20)}, draw_square)

`Explorer(square).set(side=13)` shows the sentence, and the way out that the base found by trying the function
itself: "Move side to 12." The function runs several times per second, so what is slow is data.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice
from typing import Any

import ipywidgets

from course_utils.explorers import layout
from course_utils.explorers import svg as svg_text
from course_utils.explorers.description import Control, Description, Picture

# One page of JupyterLab holds the pictures of several kernels: an id that two of them used would be the hidden tab's.
_KERNEL, _NUMBERS = secrets.token_hex(4), count()
_MARKED, _UNMARKED = f"3px solid {svg_text.VERMILION}", "3px solid transparent"
_CUSTOM = "your own"
_REST = 0.25  # seconds without a movement before something is measured
_PAUSE = 0.05  # seconds between two pieces of work that an idle kernel does


class Explorer(ipywidgets.VBox):
    """Controls above a picture that follows them.

    `controls[name].value = v` redraws at once; `set(name=v, ...)` changes several with one redraw. `state`
    holds the numbers of the last picture, `svg` its text. Where the setting is impossible, `problem` is the
    sentence shown in place of the picture, `ways_out` maps control names to the nearest values at which it
    can be drawn, and `marked` names the controls to move, which wear a red edge. `problem` is None otherwise.

    `data` is what the drawing function may look up. Where its state has `waiting`, a key that is not there
    yet, the explorer measures it once the controls rest, and `measure()` does so at once.
    `prepare` are keys that an idle kernel looks up before a reader asks for them.
    """

    def __init__(
        self,
        description: Description,
        data: Mapping[str, Any] | None = None,
        initial: Mapping[str, Any] | None = None,
        prepare: Iterable[str] = (),
    ) -> None:
        self.description, self.data = description, {} if data is None else data
        self.title, self.presets = description.title, dict(description.presets)
        self.controls = {name: _widget(control) for name, control in description.controls.items()}
        self.state: dict[str, Any] = {}
        self.svg, self.problem, self.ways_out, self.marked = "", None, {}, ()
        self._ids, self._quiet, self._limited = f"{_KERNEL}-{next(_NUMBERS)}", False, set()
        self._names, self._moved, self._followed = tuple(self.controls), (), {}
        self._pending: asyncio.TimerHandle | None = None
        if self.presets:
            offered = (_CUSTOM, *self.presets)
            preset = ipywidgets.Dropdown(options=offered, value=_CUSTOM, description="preset")
            self.controls = {"preset": preset, **self.controls}
        self.view = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%", overflow="auto"))
        extras = [_player(self.controls[description.play])] if description.play else []
        shown = [*self.controls.values(), *extras]
        super().__init__([_control_panel(shown), self.view], layout=ipywidgets.Layout(width="100%"))
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self._on_move(name), "value")
        self._redraw()
        _prepare_when_idle(self.data[key] for key in prepare)
        if initial:
            self.set(**initial)
            self.measure()

    def draw(self, values: Mapping[str, Any]) -> Picture:
        """The picture at these values of the controls; raises ValueError where there is none."""
        return self.description.draw(values, self.data)

    def measure(self) -> Explorer:
        """Measure at once what the present picture waits for, and show it."""
        waiting = self.state.get("waiting")
        if waiting:
            self.data[waiting]
            self._redraw()
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values, as the drawing function receives them."""
        return {name: self.controls[name].value for name in self._names}

    def set(self, **values: Any) -> Explorer:
        """Set several controls and redraw once.

        Raises ValueError, and changes nothing, for a name that is no control and for a value that a control
        does not offer. A control whose range depends on others (a position) takes the nearest that fits.
        """
        values = {**self.presets.get(values.get("preset"), {}), **values}
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"There is no control {name!r}; there are {', '.join(self.controls)}.")
            _check_offered(name, self.controls[name], value, self._limited)
        values.pop("preset", None)
        with self._without_redraw():
            for name, value in values.items():
                if name in self._limited:
                    _make_room(self.controls[name], value)
                self.controls[name].value = value
        self._moved = tuple(values)
        self._redraw()
        return self

    def png(self, width: int = 1320) -> bytes:
        """The picture as PNG in the light theme, `width` pixels wide."""
        return svg_text.to_png(self.svg, width)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        bundle["text/plain"] = self.title
        bundle["image/png"] = base64.b64encode(self.png()).decode()
        return bundle

    def __repr__(self) -> str:
        return self.title

    def _on_move(self, name: str) -> None:
        if self._quiet:
            return
        if name == "preset":
            self.set(**self.presets.get(self.controls["preset"].value, {}))
        else:
            self._moved = (name,)
            self._redraw()

    @contextmanager
    def _without_redraw(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _follow(self) -> None:
        """Move the controls that another one takes along."""
        after = self.description.follow(self._followed, self.values, self._moved, self.data)
        with self._without_redraw():
            for name in self._names:
                if name in self._limited:
                    _make_room(self.controls[name], after[name])
                self.controls[name].value = after[name]
        self._followed = after

    def _redraw(self) -> None:
        self._follow()
        values = self.values
        picture = self._picture(values)
        with self._without_redraw():
            for name, limit in picture.limits.items():
                self._limited.add(name)
                _limit(self.controls[name], limit)
            if self.values != values:  # a limit has moved a control
                picture = self._picture(self.values)
            if self.presets:
                self.controls["preset"].value = self._preset()
            for name in self._names:
                self.controls[name].layout.border_left = _MARKED if name in self.marked else _UNMARKED
        self.state, self.svg = picture.state, picture.svg
        self.view.value = self.svg.replace(svg_text.UNIQUE, self._ids)
        if self._pending:
            self._pending.cancel()
        self._pending = _after_pause(_REST, self.measure) if self.state.get("waiting") else None

    def _picture(self, values: dict[str, Any]) -> Picture:
        self.problem, self.ways_out, self.marked = None, {}, ()
        try:
            return self.draw(values)
        except Exception as error:  # a reader who moves a slider must never meet a traceback
            return self._explain(values, error)

    def _preset(self) -> str:
        values = self.values
        for name, preset in self.presets.items():
            if all(values[key] == value for key, value in preset.items() if key not in self._limited):
                return name
        return _CUSTOM

    def _explain(self, values: dict[str, Any], error: Exception) -> Picture:
        known = isinstance(error, ValueError)
        self.problem = str(error) if known else f"This can't be drawn ({type(error).__name__}: {error})."
        self.ways_out = dict(islice(self._find_ways_out(values), 3))
        moves = [f"{self.controls[n].description or n} to {v}" for n, v in self.ways_out.items()]
        named = [name for name in self._names if name in self.problem]
        self.marked = tuple(self.ways_out or named or self._moved[:1] or self._names[-1:])
        advice = f"No single move helps; begin with {' or '.join(self.marked)}."
        if moves:
            advice = f"Move {', or '.join(moves)}."
        return Picture(layout.problem_page(self.problem, advice), {"problem": self.problem})

    def _find_ways_out(self, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Single moves after which the picture can be drawn: the control moved last comes first."""
        for name in sorted(self._names, key=lambda n: n not in self._moved[:1]):
            for value in () if name in self._limited else _nearby(self.controls[name]):
                with suppress(Exception):
                    self.draw({**values, name: value})
                    yield name, value
                    break


def _after_pause(seconds: float, act: Callable[[], Any]) -> asyncio.TimerHandle | None:
    """Call `act` in so many seconds, once no cell is running; outside of a notebook there is no loop: None."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop().call_later(seconds, act)
    return None


def _prepare_when_idle(work: Iterator[Any]) -> None:
    """Take the next item of `work` after a pause, again and again, so that no reader has to wait for it later.

    An item takes less time than a reader notices, since a control moved meanwhile is answered after it.
    """

    def do_next() -> None:
        for _ in islice(work, 1):
            _prepare_when_idle(work)

    _after_pause(_PAUSE, do_next)


def _widget(control: Control) -> ipywidgets.ValueWidget:
    """The control as JupyterLab shows it."""
    said = {"value": control.value, "description": control.label}
    if control.kind == "switch":
        return ipywidgets.Checkbox(**said, indent=False)
    plain = all(words == str(value) for words, value in control.options)
    options = [value for _, value in control.options] if plain else control.options
    if control.kind == "choice":
        return ipywidgets.Dropdown(**said, options=options)
    said["continuous_update"] = not control.at_rest
    if control.kind == "choice_slider":
        return ipywidgets.SelectionSlider(**said, options=options)
    numbers = {"min": control.low, "max": control.high, "step": control.step}
    whole = all(isinstance(v, int) for v in (control.value, *numbers.values()))
    return (ipywidgets.IntSlider if whole else ipywidgets.FloatSlider)(**said, **numbers)


def _player(slider: ipywidgets.IntSlider) -> ipywidgets.HBox:
    """Play, pause and stop buttons that move the slider a step every 300 milliseconds, with a label in words."""
    play = ipywidgets.Play(value=slider.value, min=slider.min, max=slider.max, step=slider.step, interval=300)
    play.links = [  # in the browser, so that a step costs the kernel nothing but the redraw
        ipywidgets.jslink((play, "value"), (slider, "value")),
        ipywidgets.jslink((slider, "max"), (play, "max")),
    ]
    return ipywidgets.HBox([ipywidgets.Label(f"play {slider.description}"), play])


def _control_panel(widgets: Sequence[ipywidgets.Widget]) -> ipywidgets.GridBox:
    """The controls in as many columns as the cell is wide, with descriptions that are never cut off."""
    described = [w.description for w in widgets if getattr(w, "description", "")]
    label = max((svg_text.text_width(d, 13) for d in described), default=0) + 8
    for widget in widgets:
        widget.layout.width = "auto"
        widget.layout.border_left = _UNMARKED
        if not isinstance(widget, (ipywidgets.Checkbox, ipywidgets.HBox)):
            widget.style.description_width = f"{label:.0f}px"
    columns = f"repeat(auto-fill, minmax({label + 200:.0f}px, 1fr))"
    grid = ipywidgets.Layout(grid_template_columns=columns, grid_gap="2px 12px", width="100%")
    return ipywidgets.GridBox(list(widgets), layout=grid)


def _offers(control: ipywidgets.ValueWidget) -> list[Any]:
    return [option[1] if isinstance(option, tuple) else option for option in control.options]


def _check_offered(name: str, control: ipywidgets.ValueWidget, value: Any, limited: set[str]) -> None:
    """Raises ValueError where the control can't take the value; a range that depends on others is open."""
    if hasattr(control, "options"):
        fits, allowed = name in limited or value in _offers(control), ", ".join(map(str, _offers(control)))
    elif hasattr(control, "max"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        whole = not isinstance(control, ipywidgets.IntSlider) or isinstance(value, int)
        fits = number and whole and control.min <= value and (name in limited or value <= control.max)
        allowed = f"a number from {control.min} to {control.max}"
    else:
        fits, allowed = isinstance(value, type(control.value)), f"a {type(control.value).__name__}"
    if not fits:
        raise ValueError(f"{name} can't be {value!r}; it can be {allowed}.")


def _make_room(control: ipywidgets.ValueWidget, value: Any) -> None:
    """Let a limited control take a value that fits only once the other controls have been set."""
    if hasattr(control, "max"):
        control.max = max(control.max, value)
    elif value not in _offers(control):
        control.options = (*control.options, value)


def _limit(control: ipywidgets.ValueWidget, limit: Any) -> None:
    if hasattr(control, "max"):
        control.max = max(limit, control.min)
        return
    if tuple(control.options) != tuple(limit):
        kept = control.value
        control.options = limit
        if kept in _offers(control):
            control.value = kept


def _nearby(control: ipywidgets.ValueWidget) -> Iterator[Any]:
    """Other values of a control, the nearest first; at most a few dozen."""
    if hasattr(control, "options"):
        values = _offers(control)
        here = values.index(control.value)
        yield from sorted(
            (v for v in values if v != control.value), key=lambda v: abs(values.index(v) - here)
        )
    elif hasattr(control, "max"):
        for steps in (*range(1, 17), 24, 32, 48, 64, 96, 128, 192, 256, 384):
            near = (control.value - steps * control.step, control.value + steps * control.step)
            yield from (value for value in near if control.min <= value <= control.max)
    elif isinstance(control.value, bool):
        yield not control.value
