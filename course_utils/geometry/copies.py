"""A copy of a model to run in its place, and everything else that a run may change put back afterwards."""

import copy
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_PLAIN = (
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type,
    FunctionType,
    torch.dtype,
    torch.device,
    torch.Size,
)
_BACKWARD = ("_backward_hooks", "_backward_pre_hooks")


def copied(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> nn.Module:
    """The model in evaluation mode with `twin(t)` in place of each tensor t, and without hooks on gradients."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        new = twin(tensor.detach())
        memo[id(tensor)] = nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new
    with _Twins(twin):
        new = _copied(model, memo, twin)
    for module in new.modules():
        module.__dict__["training"] = False
        for hooks in _BACKWARD:
            module.__dict__[hooks] = OrderedDict()
    return new


class _Twins(TorchFunctionMode):
    """Lets `copy.deepcopy` take twins of tensors inside other objects."""

    def __init__(self, twin: Callable[[Tensor], Tensor]):
        super().__init__()
        self.twin = twin

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self.twin(args[0].detach()) if func is Tensor.__deepcopy__ else func(*args, **(kwargs or {}))


def _copied(value: Any, memo: dict[int, Any], twin: Callable[[Tensor], Tensor]) -> Any:
    """As `copy.deepcopy`, several times faster for modules; what cannot be copied stays itself."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, nn.Module) and not hasattr(kind, "__deepcopy__"):
        new = memo[id(value)] = kind.__new__(kind)
        for key, item in vars(value).items():
            vars(new)[key] = _copied(item, memo, twin)
        return new
    if kind in (dict, OrderedDict):
        new = memo[id(value)] = kind()
        for key, item in value.items():
            new[key] = _copied(item, memo, twin)
        return new
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        return value


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts back what a run changes beyond the model: random numbers, and what the code keeps outside of it.

    That is what classes, modules, closures and defaults of the code that runs hold in lists, dicts, sets and names.
    """
    before = [(holder, copy.copy(_content(holder))) for holder in _outside(model)]
    numbers = sys.modules.get("numpy")
    states = random.getstate(), numbers and numbers.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        if numbers:
            numbers.random.set_state(states[1])
        for holder, content in before:
            _restore(holder, content)


def _content(holder: Any) -> Any:
    if isinstance(holder, CellType):
        try:
            return {"cell_contents": holder.cell_contents}
        except ValueError:  # empty so far
            return {}
    return dict(vars(holder)) if isinstance(holder, type) else holder


def _restore(holder: Any, content: Any) -> None:
    now = _content(holder)
    if isinstance(holder, list):
        holder[:] = content
    elif isinstance(holder, set) or (isinstance(holder, dict) and _differs(now, content)):
        holder.clear()
        holder.update(content)
    elif isinstance(holder, type | CellType):
        for name in now.keys() - content.keys():
            delattr(holder, name)
        for name in content:
            if name not in now or now[name] is not content[name]:
                setattr(holder, name, content[name])


def _differs(now: dict, content: dict) -> bool:
    return list(now) != list(content) or any(now[key] is not value for key, value in content.items())


def _outside(model: nn.Module) -> list[Any]:
    """Every class, cell and container that the model's code can reach by name, but for those of libraries."""
    found: dict[int, Any] = {}
    todo = [value for module in model.modules() for value in (type(module), *_functions(module))]
    while todo:
        value = todo.pop()
        if id(value) not in found and not _is_library(value):
            found[id(value)] = value
            todo += _reached(value)
    return [v for v in found.values() if isinstance(v, type | CellType | list | dict | set)]


def _reached(value: Any) -> list[Any]:
    if isinstance(value, FunctionType):
        known = [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return [
            *known,
            *([value.__globals__] if known else []),
            *(value.__closure__ or ()),
            *defaults,
            vars(value),
        ]
    if isinstance(value, type):
        return [*value.__bases__, *vars(value).values()]
    if isinstance(value, nn.Module):
        return [type(value), vars(value)]
    if isinstance(value, CellType | dict):
        return [] if "__builtins__" in (content := _content(value)) else list(content.values())
    if isinstance(value, list | set):
        return list(value)
    kinds = (MethodType, property, staticmethod, classmethod)
    names = ("__func__", "__self__", "fget", "__wrapped__")
    inner = isinstance(value, kinds) or "__wrapped__" in getattr(value, "__dict__", ())
    return [getattr(value, name) for name in names if hasattr(value, name)] if inner else []


def _functions(module: nn.Module) -> list[Any]:
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return hooks + [v for v in vars(module).values() if isinstance(v, FunctionType | MethodType)]


_LIBRARIES = ("torch", "numpy", "builtins", "typing", "collections", "functools")


def _is_library(value: Any) -> bool:
    name = getattr(value, "__module__", None) if isinstance(value, type | FunctionType) else None
    return isinstance(value, ModuleType) or str(name).partition(".")[0] in _LIBRARIES
