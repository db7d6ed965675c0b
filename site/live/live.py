"""The explorers of a page: made from `course_utils`, answered as plain data that JavaScript can show.

Runs in the browser (Pyodide, in a worker) and, for the pictures that a page has at once, while the site is built.
"""

import json
from importlib import import_module

from course_utils.explorers.base import Explorer

NAMES = ("conv", "inception", "network", "receptive_field", "residual", "topk", "vgg")
_FILES = {"table": "tables", "photo": "photos", "classes": "guesses"}
_NAMED = 5  # of a link's odd settings, so that no link fills the page with its words
# What is drawn where the site brings no measurement that the setting asks for, and what is said then.
_WITHOUT = {"receptive_field": {"effective": "theoretical only"}}
_NOT_HERE = (
    "This page has the effective field of each layer's middle unit only, so here you see the theoretical box; "
    "JupyterLab measures it for any unit."
)


def file_of(key: str) -> str:
    """The data file with what is under a key."""
    kind, *parts = key.split("/")
    return (
        f"effective/{parts[1]}-{parts[0]}.json" if kind == "effective" else f"{_FILES.get(kind, kind)}.json"
    )


class Files(dict):
    """What torch has measured, read from the site's files when it is first looked up.

    `read(name)` returns the text of one of the site's data files.
    """

    def __init__(self, read):
        self.read, self.seen = read, set()

    def __missing__(self, key):
        name = file_of(key)
        if name not in self.seen:
            self.update(json.loads(self.read(name)))
            self.seen.add(name)
        if key not in self:
            raise KeyError(f"The site has nothing under {key!r}.")
        return self[key]


class Live:
    """One explorer of a page. What its methods return holds the controls and the picture, for JSON."""

    def __init__(self, name, data, settings=None):
        self.name, self.data = name, data
        self.explorer = Explorer(import_module(f"course_utils.explorers.{name}").describe(data), data)
        if settings:
            self.explorer.set(**settings)

    def move(self, name, value):
        """Move one control; of those with options, `value` is the option's number."""
        control = self.explorer.controls[name]
        if hasattr(control, "options"):
            value = self._values(control)[int(value)]
        elif isinstance(control.value, bool):
            value = bool(value)
        elif isinstance(control.value, int):
            value = int(value)
        control.value = value
        return self.shown()

    def open(self, link):
        """Take the settings of a link, (name, text) pairs; what is no setting is left out and named in `note`."""
        taken, odd = {}, []
        for name, text in link:
            try:
                control = self.explorer.controls[name]
                taken[name] = self._read(control, text)
            except (KeyError, ValueError, OverflowError):
                odd.append(f"{name}={text}"[:60])
        try:
            self.explorer.set(**taken)
        except ValueError:
            for name, value in taken.items():
                try:
                    self.explorer.set(**{name: value})
                except ValueError:
                    odd.append(f"{name}={value}"[:60])
        answer = self.shown()
        if odd:
            named = odd[:_NAMED] + [f"{len(odd) - _NAMED} more"] * (len(odd) > _NAMED)
            said = f"Left out of the link, since it is no setting of this explorer: {', '.join(named)}."
            answer["note"] = f"{said} {answer['note']}".strip()
        return answer

    def shown(self):
        """Controls, picture, sentence, and the settings for a link."""
        e = self.explorer
        svg, note = e.svg, ""
        if e.state.get("waiting"):
            try:
                svg = e.measure().svg
            except KeyError:
                svg, note = e.description.draw({**e.values, **_WITHOUT[self.name]}, self.data).svg, _NOT_HERE
        marked = list(e.marked)
        controls = [self._control(name, name in marked) for name in e.controls]
        said = {
            "title": e.title,
            "svg": svg,
            "problem": e.problem or "",
            "note": note,
            "play": e.description.play,
        }
        return {**said, "controls": controls, "link": self._link()}

    def _control(self, name, marked):
        c = self.explorer.controls[name]
        described = self.explorer.description.controls.get(name)
        shown = {"name": name, "label": c.description, "marked": marked, "value": c.value}
        shown["kind"] = described.kind if described else "choice"
        shown["at_rest"] = bool(described and described.at_rest)
        if hasattr(c, "options"):
            values = self._values(c)
            shown["options"] = [str(o[0]) if isinstance(o, tuple) else str(o) for o in c.options]
            shown["value"] = values.index(c.value)
        elif hasattr(c, "max"):
            shown |= {"min": c.min, "max": c.max, "step": c.step}
        return shown

    def _link(self):
        return [[name, self._text(value)] for name, value in self.explorer.values.items()]

    @staticmethod
    def _text(value):
        return json.dumps(value) if isinstance(value, bool) else str(value)

    @staticmethod
    def _values(control):
        return [o[1] if isinstance(o, tuple) else o for o in control.options]

    def _read(self, control, text):
        """The value that a link's text names; raises ValueError where the control has no such value."""
        if hasattr(control, "options"):
            return next((v for v in self._values(control) if self._text(v) == text), text)
        if isinstance(control.value, bool):
            if text not in ("true", "false"):
                raise ValueError(text)
            return text == "true"
        value = type(control.value)(text)
        steps = (value - control.min) / control.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(text)
        return value
