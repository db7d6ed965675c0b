"""The package behind the lectures. A module is loaded on first use, so that what needs no torch works without it."""

from importlib import import_module

__all__ = ["data", "explorers", "geometry", "metrics", "models", "plots", "training"]
__dir__ = __all__.copy  # what the tab key offers


def __getattr__(name: str):
    if name in __all__:
        return import_module(f"course_utils.{name}")
    raise AttributeError(f"module 'course_utils' has no attribute {name!r}")
