"""An explorer in JupyterLab: its description's controls as widgets, what it draws, and ways out of what cannot be."""

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from typing import Any

import ipywidgets

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Control, Description, Picture, Values, choice

# One page of JupyterLab holds the pictures of several kernels: an id that two of them used would be the hidden tab's.
_KERNEL, _NUMBERS = secrets.token_hex(4), count()
_MARKED, _UNMARKED = f"3px solid {svg.VERMILION}", "3px solid transparent"
_CUSTOM = "your own"
_FAR = (*range(1, 17), 24, 32, 48, 64, 96, 128, 192, 256, 384)  # steps at which a way out is sought
_REST = 0.25  # seconds without a movement before something is measured
_PAUSE = 0.05  # seconds between two pieces of work that an idle kernel does


class Explorer(ipywidgets.VBox):
    """Controls above a picture that follows them.

    `controls[name].value = v` redraws at once; `set(name=v, ...)` changes several with one redraw. `state` holds the
    numbers of the last picture, `svg` its text. Where the setting is impossible, `problem` is the sentence shown in
    place of the picture (else None), `ways_out` maps control names to the nearest values at which it can be drawn,
    `marked` names the controls to move, which wear a red edge. `data` is what the drawing function may look up; what it
    is `waiting` for is measured once the controls rest, by `measure()` at once, keys in `prepare` by an idle kernel.
    """

    def __init__(self, description: Description, data: Values | None = None, initial=None, prepare=()):
        self.description, self.data = description, {} if data is None else data
        self.title, self.presets = description.title, description.presets
        preset = {"preset": choice("preset", (_CUSTOM, *self.presets), _CUSTOM)} if self.presets else {}
        self.controls = {name: _widget(control) for name, control in (preset | description.controls).items()}
        self.state, self._pending, self._drawing = {}, None, False
        self._ids, self._followed, self._limited = f"{_KERNEL}-{next(_NUMBERS)}", {}, set()
        self.view = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%", overflow="auto"))
        extras = [_player(self.controls[description.play])] if description.play else []
        panel = _control_panel([*self.controls.values(), *extras])
        super().__init__([panel, self.view], layout=ipywidgets.Layout(width="100%"))
        for name, control in self.controls.items():
            control.observe(lambda change, n=name: self._drawing or self.set(**{n: change.new}), "value")
        self._show(self.values, ())
        _after_pause(_PAUSE, self._prepare, iter(prepare))
        if initial:
            self.set(**initial)
            self.measure()

    def measure(self) -> "Explorer":
        """Measure at once what the present picture waits for, and show it."""
        if waiting := self.state.get("waiting"):
            self.data[waiting]
            self._show(self.values, self._moved)
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values, as the drawing function receives them."""
        return {name: self.controls[name].value for name in self.description.controls}

    def set(self, **values: Any) -> "Explorer":
        """Set several controls and redraw once.

        Raises ValueError, and changes nothing, for a name that is no control and for a value that a control
        does not offer. A control whose range depends on others (a position) takes the nearest that fits.
        """
        values = next((p for name, p in self.presets.items() if name == values.get("preset")), {}) | values
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"There is no control {name!r}; there are {', '.join(self.controls)}.")
            _check_offered(name, self.controls[name], value, name in self._limited)
        values.pop("preset", None)
        self._show(self.values | values, tuple(values))
        return self

    def png(self, width: int = 1320) -> bytes:
        """The picture as PNG in the light theme, `width` pixels wide."""
        return svg.to_png(self.svg, width)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        return bundle | {"text/plain": self.title, "image/png": base64.b64encode(self.png()).decode()}

    def __repr__(self) -> str:
        return self.title

    def _prepare(self, keys: Iterator[str]) -> None:
        """Look a key up after each pause, so that no reader waits for it later, nor notices it meanwhile."""
        for key in islice(keys, 1):
            self.data[key]
            _after_pause(_PAUSE, self._prepare, keys)

    def _show(self, wanted: dict[str, Any], moved: tuple[str, ...]) -> None:
        """Draw the picture at these values, or the nearest that its limits allow, and move the controls there."""
        self._drawing, self._moved = True, moved
        try:
            self._followed = self.description.follow(self._followed, wanted, moved, self.data)
            wanted = {name: self._followed[name] for name in wanted}
            picture = self._picture(wanted)
            self._limited |= picture.limits.keys()
            near = {n: _limit(self.controls[n], picture.limits.get(n), wanted[n]) for n in self._limited}
            if wanted | near != wanted:
                picture = self._picture(wanted | near)
            for name, value in (wanted | near).items():
                self.controls[name].value = value
                self.controls[name].layout.border_left = _MARKED if name in self.marked else _UNMARKED
            if self.presets:  # a place within a setting, such as a position, makes no other setting of it
                now = {n: v for n, v in self.values.items() if n not in self._limited}
                at = (name for name, preset in self.presets.items() if preset | now == now | preset)
                self.controls["preset"].value = next(at, _CUSTOM)
        finally:
            self._drawing = False
        self.state, self.svg = picture.state, picture.svg
        self.view.value = self.svg.replace(svg.UNIQUE, self._ids)
        if self._pending:
            self._pending.cancel()
        self._pending = _after_pause(_REST, self.measure) if self.state.get("waiting") else None

    def _picture(self, values: dict[str, Any]) -> Picture:
        self.problem, self.ways_out, self.marked = None, {}, ()
        try:
            return self.description.draw(values, self.data)
        except Exception as error:  # a reader who moves a slider must never meet a traceback
            known = isinstance(error, ValueError)
            self.problem = str(error) if known else f"This can't be drawn ({type(error).__name__}: {error})."
        self.ways_out = dict(islice(self._find_ways_out(values), 3))
        moves = [f"{self.controls[n].description or n} to {v}" for n, v in self.ways_out.items()]
        named = [name for name in values if name in self.problem]
        self.marked = tuple(self.ways_out or named or self._moved[:1] or [*values][-1:])
        begin = f"No single move helps; begin with {' or '.join(self.marked)}."
        advice = f"Move {', or '.join(moves)}." if moves else begin
        return Picture(layout.problem_page(self.problem, advice), {"problem": self.problem})

    def _find_ways_out(self, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Single moves after which the picture can be drawn: the control moved last comes first."""
        free = [name for name in values if name not in self._limited]
        for name in sorted(free, key=lambda name: name not in self._moved[:1]):
            offered = _offered(self.controls[name])
            here = offered.index(values[name]) if values[name] in offered else 0
            near = (here + way * steps for steps in _FAR for way in (-1, 1))
            for value in (offered[i] for i in near if 0 <= i < len(offered)):
                with suppress(Exception):
                    self.description.draw({**values, name: value}, self.data)
                    yield name, value
                    break


def _after_pause(seconds: float, act: Callable, *given: Any) -> asyncio.TimerHandle | None:
    """Call `act` in so many seconds, once no cell is running; outside of a notebook there is no loop: None."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop().call_later(seconds, act, *given)
    return None


def _widget(control: Control) -> ipywidgets.ValueWidget:
    """The control as JupyterLab shows it."""
    said = {"value": control.value, "description": control.label}
    if control.kind == "switch":
        return ipywidgets.Checkbox(**said, indent=False)
    if control.options:
        plain = all(words == str(value) for words, value in control.options)
        said["options"] = [value for _, value in control.options] if plain else control.options
    if control.kind == "choice":
        return ipywidgets.Dropdown(**said)
    said["continuous_update"] = not control.at_rest
    if control.kind == "choice_slider":
        return ipywidgets.SelectionSlider(**said)
    numbers = {"min": control.low, "max": control.high, "step": control.step}
    whole = all(isinstance(v, int) for v in (control.value, *numbers.values()))
    return (ipywidgets.IntSlider if whole else ipywidgets.FloatSlider)(**said, **numbers)


def _player(slider: ipywidgets.IntSlider) -> ipywidgets.HBox:
    """Play, pause and stop buttons that move the slider a step every 300 milliseconds, with a label in words."""
    play = ipywidgets.Play(value=slider.value, min=slider.min, max=slider.max, step=slider.step, interval=300)
    links = ((play, "value"), (slider, "value")), ((slider, "max"), (play, "max"))
    play.links = [ipywidgets.jslink(*link) for link in links]  # the kernel has nothing to do but redraw
    return ipywidgets.HBox([ipywidgets.Label(f"play {slider.description}"), play])


def _control_panel(widgets: Sequence[ipywidgets.Widget]) -> ipywidgets.GridBox:
    """The controls in as many columns as the cell is wide, with descriptions that are never cut off."""
    label = max(svg.text_width(getattr(widget, "description", ""), 13) for widget in widgets) + 8
    for widget in widgets:
        widget.layout.width, widget.layout.border_left = "auto", _UNMARKED
        if not isinstance(widget, (ipywidgets.Checkbox, ipywidgets.HBox)):
            widget.style.description_width = f"{label:.0f}px"
    columns = f"repeat(auto-fill, minmax({label + 200:.0f}px, 1fr))"
    grid = ipywidgets.Layout(grid_template_columns=columns, grid_gap="2px 12px", width="100%")
    return ipywidgets.GridBox(list(widgets), layout=grid)


def _offered(control: ipywidgets.ValueWidget) -> Sequence[Any]:
    """All values of a control, in their order; of a slider of fractions, along which no way out is sought, its own."""
    if hasattr(control, "max"):
        whole = isinstance(control, ipywidgets.IntSlider)
        return range(control.min, control.max + 1, control.step) if whole else [control.value]
    return [o[1] if isinstance(o, tuple) else o for o in getattr(control, "options", (False, True))]


def _check_offered(name: str, control: ipywidgets.ValueWidget, value: Any, limited: bool) -> None:
    """Raises ValueError where the control can't take the value; a range that depends on others is open."""
    if hasattr(control, "max"):
        numbers = int if isinstance(control, ipywidgets.IntSlider) else int | float
        fits = isinstance(value, numbers) and not isinstance(value, bool) and control.min <= value
        fits = fits and (limited or value <= control.max)
        allowed = f"a number from {control.min} to {control.max}"
    elif hasattr(control, "options"):
        fits, allowed = limited or value in _offered(control), ", ".join(map(str, _offered(control)))
    else:
        fits, allowed = isinstance(value, bool), "True or False"
    if not fits:
        raise ValueError(f"{name} can't be {value!r}; it can be {allowed}.")


def _limit(control: ipywidgets.ValueWidget, limit: Any, value: Any) -> Any:
    """Let a control offer no more than its new limit, if there is one; the nearest to `value` that it then has."""
    if hasattr(control, "max"):
        control.max = control.max if limit is None else max(limit, control.min)
        return min(value, control.max)
    if limit and tuple(control.options) != tuple(limit):
        control.options = limit
    return value if value in _offered(control) else _offered(control)[0]
