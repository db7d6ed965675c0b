"""The package behind the lectures: models, measurements, training, pictures and explorers.

`geometry` and `metrics` are loaded at once; every other module on first use, so that
`import course_utils` costs little more than `import torch`.
"""

from importlib import import_module

from course_utils import geometry, metrics

_ON_FIRST_USE = ("data", "explorers", "models", "plots", "training")
__all__ = ["geometry", "metrics", *_ON_FIRST_USE]


def __getattr__(name: str):
    if name in _ON_FIRST_USE:
        return import_module(f"course_utils.{name}")
    raise AttributeError(f"module 'course_utils' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
