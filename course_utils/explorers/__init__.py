"""Explorers: functions that return a picture with controls, for JupyterLab."""

from importlib import import_module

_HOME = {
    "conv_explorer": "conv",
    "inception_explorer": "inception",
    "network_explorer": "network",
    "receptive_field_explorer": "receptive_field",
    "residual_explorer": "residual",
    "topk_explorer": "topk",
    "vgg_explorer": "vgg",
}
__all__ = [*_HOME]


def __getattr__(name: str):
    # Each explorer is imported when it is asked for: one lecture uses one or two of them.
    if name in _HOME:
        return getattr(import_module(f"course_utils.explorers.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
