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
    if isinstance(value, Tensor):
        new = twin(value.detach())
    elif isinstance(value, nn.Module) and not hasattr(kind, "__deepcopy__"):
        new = memo[id(value)] = kind.__new__(kind)
        for key, item in vars(value).items():
            kind = type(item)
            if kind is OrderedDict and not item:  # most of a module's attributes
                vars(new)[key] = OrderedDict()
            else:
                vars(new)[key] = item if kind in _PLAIN else _copied(item, memo, twin)
    elif kind in (dict, OrderedDict):
        new = memo[id(value)] = kind()
        for key, item in value.items():
            new[key] = _copied(item, memo, twin)
    elif kind is list:
        new = memo[id(value)] = []
        new.extend(_copied(item, memo, twin) for item in value)
    elif kind in (tuple, set):
        new = kind(_copied(item, memo, twin) for item in value)
    else:
        try:
            new = copy.deepcopy(value, memo)
        except Exception:
            new = value
    memo[id(value)] = new
    memo.setdefault(-1, []).append(value)  # alive, lest another object take its place in the memo
    return new


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts back what a run changes beyond the model: random numbers, and what the code keeps outside of it.

    That is what classes, modules, closures and defaults of the code that runs hold in lists, dicts, sets and names.
    """
    held = _outside(model)
    before = [(holder, copy.copy(_content(holder))) for holder in held]
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
            return (holder.cell_contents,)
        except ValueError:  # empty so far
            return ()
    return dict(vars(holder)) if isinstance(holder, type | nn.Module) else holder


def _restore(holder: Any, content: Any) -> None:
    now = _content(holder)
    if len(now) == len(content) and all(a is b for a, b in zip(_items(now), _items(content), strict=True)):
        return
    if isinstance(holder, CellType):
        if content:
            holder.cell_contents = content[0]
        else:
            del holder.cell_contents
    elif isinstance(holder, type):
        for name in now.keys() - content.keys():
            delattr(holder, name)
        for name, value in content.items():
            if now.get(name) is not value:
                setattr(holder, name, value)
    elif isinstance(holder, nn.Module):
        vars(holder).clear()
        vars(holder).update(content)
    elif isinstance(holder, list):
        holder[:] = content
    else:
        holder.clear()
        holder.update(content)


def _items(content: Any) -> Iterator[Any]:
    return iter((*content.keys(), *content.values()) if isinstance(content, dict) else content)


def _outside(model: nn.Module) -> list[Any]:
    """Every class, cell and container that the model's code can reach by name, but for those of libraries."""
    found: dict[int, Any] = {}
    todo = [value for module in model.modules() for value in (type(module), *_hooks_and_functions(module))]
    while todo:
        value = todo.pop()
        if id(value) in found or _is_library(value):
            continue
        if isinstance(value, MethodType):
            todo += [value.__func__, value.__self__]
        elif isinstance(value, FunctionType):
            found[id(value)] = value
            cells, names = value.__closure__ or (), value.__code__.co_names
            todo += [*cells, vars(value), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
            todo += [value.__globals__[name] for name in names if name in value.__globals__]
            if any(name in value.__globals__ for name in names):
                todo.append(value.__globals__)
        elif isinstance(value, type):
            found[id(value)] = value
            todo += [*value.__bases__, *vars(value).values()]
        elif isinstance(value, CellType):
            found[id(value)] = value
            todo += _content(value)
        elif isinstance(value, nn.Module):
            found[id(value)] = value
            todo += [type(value), *vars(value).values()]
        elif isinstance(value, list | dict | set):
            found[id(value)] = value
            if not (isinstance(value, dict) and "__builtins__" in value):
                todo += value.values() if isinstance(value, dict) else value
        elif isinstance(value, property | staticmethod | classmethod):
            todo.append(value.fget if isinstance(value, property) else value.__func__)
        elif hasattr(value, "__wrapped__"):
            todo.append(value.__wrapped__)
    return [v for v in found.values() if not isinstance(v, FunctionType)]


def _hooks_and_functions(module: nn.Module) -> list[Any]:
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    return hooks + [v for v in vars(module).values() if isinstance(v, FunctionType | MethodType)]


_LIBRARIES = ("torch", "numpy", "builtins", "typing", "collections", "functools")


def _is_library(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return True
    name = getattr(value, "__module__", None) if isinstance(value, type | FunctionType) else None
    return isinstance(name, str) and name.partition(".")[0] in _LIBRARIES
