"""Explorers: functions that return a picture with controls, for JupyterLab."""

from importlib import import_module

from course_utils.explorers.description import opener

_NAMES = ("conv", "inception", "network", "receptive_field", "residual", "topk", "vgg")
__all__ = [f"{name}_explorer" for name in _NAMES]
__dir__ = __all__.copy  # what the tab key offers


def __getattr__(name: str):
    # Each explorer is imported when it is asked for: one lecture uses one or two of them.
    if name in __all__:
        return opener(import_module(f"course_utils.explorers.{name.removesuffix('_explorer')}").describe)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
