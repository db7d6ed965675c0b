"""Explorers: functions that return a picture with controls, for JupyterLab."""

from importlib import import_module

_NAMES = ("conv", "inception", "network", "receptive_field", "residual", "topk", "vgg")
__all__ = [f"{name}_explorer" for name in _NAMES]


def __getattr__(name: str):
    # Each explorer is imported when it is asked for: one lecture uses one or two of them.
    if name in __all__:
        return getattr(import_module(f"course_utils.explorers.{name.removesuffix('_explorer')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
