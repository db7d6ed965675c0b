"""A copy of a model to run in its place, and everything else that a run may change put back afterwards."""

import copy
import functools
import gc
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = {int, float, bool, str, type(None), type, FunctionType, torch.dtype, torch.device}
_LIBRARIES = {"torch", "numpy", "builtins", "typing", "collections", "functools"}


def copied(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> nn.Module:
    """The model in evaluation mode with `twin(t)` in place of each tensor t, and without hooks on gradients."""
    new = _copied(model, {}, twin)
    for module in new.modules():
        hooks = {"_backward_hooks": OrderedDict(), "_backward_pre_hooks": OrderedDict()}
        module.__dict__.update(training=False, **hooks)
    return new


def _copied(value: Any, memo: dict[int, Any], twin: Callable[[Tensor], Tensor]) -> Any:
    """As `copy.deepcopy`, several times faster for modules; what cannot be copied stays itself."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, Tensor):
        new = twin(value.detach())
        new = nn.Parameter(new, requires_grad=False) if isinstance(value, nn.Parameter) else new
    elif kind in (list, tuple, set):
        new = kind(_copied(item, memo, twin) for item in value)
    elif kind in (dict, OrderedDict) or (isinstance(value, nn.Module) and not hasattr(kind, "__deepcopy__")):
        new = memo[id(value)] = kind.__new__(kind)
        old, items = (value, new) if isinstance(value, dict) else (vars(value), vars(new))
        for key, item in old.items():
            items[key] = item if type(item) in _PLAIN else _copied(item, memo, twin)
    else:
        try:
            return copy.deepcopy(value, memo)
        except Exception:
            return value
    memo[id(value)] = new
    return new


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts back what a run changes beyond the model: random numbers, and what the code keeps outside of it.

    That is what classes, modules, closures and defaults of the code that runs hold in lists, dicts, sets and names.
    """
    before = [(holder, copy.copy(_content(holder))) for holder in _holders(model)]
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
        return {"cell_contents": holder.cell_contents} if gc.get_referents(holder) else {}
    return dict(vars(holder)) if isinstance(holder, type) else holder


def _restore(holder: Any, content: Any) -> None:
    if isinstance(holder, list):
        holder[:] = content
    elif isinstance(holder, set) or (isinstance(holder, dict) and list(holder) != list(content)):
        holder.clear()
        holder.update(content)
    else:
        now = _content(holder)
        put = holder.__setitem__ if isinstance(holder, dict) else functools.partial(setattr, holder)
        for name in now.keys() - content.keys():
            delattr(holder, name)
        for name, value in content.items():
            if name not in now or now[name] is not value:
                put(name, value)


def _holders(model: nn.Module) -> list[Any]:
    """Every class, cell and container that the model's code can reach by name, but for those of libraries."""
    found: dict[int, Any] = {}
    todo: list[Any] = []
    for module in model.modules():
        own = [value for value in vars(module).values() if isinstance(value, FunctionType | MethodType)]
        todo += [type(module), *own, *module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    while todo:
        value = todo.pop()
        is_code = isinstance(value, type | FunctionType)
        if id(value) in found or (is_code and str(value.__module__).partition(".")[0] in _LIBRARIES):
            continue
        found[id(value)] = value
        if isinstance(value, FunctionType):
            names = [value.__globals__[n] for n in value.__code__.co_names if n in value.__globals__]
            todo += [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value), *names]
            todo += [value.__globals__] if names else []
        elif isinstance(value, type):
            todo += [*value.__bases__, *vars(value).values()]
        elif isinstance(value, nn.Module):
            todo += [type(value), vars(value)]
        elif type(value).__module__ in ("builtins", "functools") and not isinstance(value, ModuleType):
            is_namespace = isinstance(value, dict) and "__builtins__" in value
            todo += [] if is_namespace else gc.get_referents(value)
    return [v for v in found.values() if isinstance(v, type | CellType | list | dict | set)]
