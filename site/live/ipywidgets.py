"""What `course_utils.explorers.base` takes from ipywidgets, where there is none: values that tell who watches.

The same Explorer runs in a web page, which makes its own controls and views from these.
"""

from types import SimpleNamespace


class Layout(SimpleNamespace):
    pass


class Widget:
    """Keeps what it is given; tells each observer of a name once its value has changed."""

    def __init__(self, **given):
        self.__dict__["_watchers"] = {}
        self.__dict__.update({"layout": Layout(), "style": Layout(description_width=""), **given})

    def observe(self, act, name):
        self._watchers.setdefault(name, []).append(act)

    def __setattr__(self, name, value):
        before = self.__dict__.get(name)
        self.__dict__[name] = value
        if before != value or type(before) is not type(value):
            for act in self.__dict__.get("_watchers", {}).get(name, ()):
                act(SimpleNamespace(name=name, old=before, new=value, owner=self))


class ValueWidget(Widget):
    pass


class _Box(Widget):
    def __init__(self, children=(), **given):
        super().__init__(children=tuple(children), **given)


class VBox(_Box):
    def _repr_mimebundle_(self, **kwargs):
        return {}


class HBox(_Box):
    pass


class GridBox(_Box):
    pass


class HTML(Widget):
    def __init__(self, value="", **given):
        super().__init__(value=value, **given)


class Label(HTML):
    pass


class Checkbox(ValueWidget):
    pass


class _Numbers(ValueWidget):
    """A value that its range holds in, as ipywidgets does it."""

    def __setattr__(self, name, value):
        if name == "value":
            value = min(max(value, self.min), self.max)
        super().__setattr__(name, value)
        if name == "max" and self.value > value:
            self.value = value


class IntSlider(_Numbers):
    pass


class FloatSlider(_Numbers):
    pass


class Play(_Numbers):
    pass


class _Selection(ValueWidget):
    """One of `options`, which are values or (words, value) pairs; new options choose the first of them."""

    def __setattr__(self, name, value):
        if name == "options":
            value = tuple(value)
        super().__setattr__(name, value)
        if name == "options":
            self.value = value[0][1] if isinstance(value[0], tuple) else value[0]


class Dropdown(_Selection):
    pass


class SelectionSlider(_Selection):
    pass


def jslink(source, target):
    return source, target
