"""What a run of a model may change, put back afterwards: the model, what its code keeps elsewhere, random numbers."""

import gc
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = {int, float, bool, str, bytes, type(None), torch.dtype, torch.device, torch.Size}
_LIBRARIES = {"torch", "torchvision", "numpy", "builtins", "typing", "collections", "functools"}
_KEEPS = (dict, list, set, deque, type, CellType)


@contextmanager
def replaced(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The model in evaluation mode, with `twin(t)` for each tensor t that it holds and no hooks on gradients.

    Afterwards random numbers are as before, and so is what the model holds, and what its code keeps in classes,
    modules and closures: in lists, dicts, sets and names.
    """
    found: dict[int, Any] = {}
    code = _walk([model], found, [])
    own = [holder for holder in found.values() if isinstance(holder, dict | list)]
    _walk(code, found, None)
    before = [(holder, _content(holder)) for holder in found.values() if isinstance(holder, _KEEPS)]
    caches = [(value, value.cache_info().misses) for value in found.values() if hasattr(value, "cache_info")]
    numbers = sys.modules.get("numpy")
    states = random.getstate(), numbers and numbers.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            twins: dict[int, Tensor] = {}
            for holder in own:
                for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                    if isinstance(value, Tensor):
                        if id(value) not in twins:
                            twins[id(value)] = _twin(value, twin)
                        holder[key] = twins[id(value)]
            for module in model.modules():
                hooks = {"_backward_hooks": OrderedDict(), "_backward_pre_hooks": OrderedDict()}
                vars(module).update(training=False, **hooks)
            yield
    finally:
        random.setstate(states[0])
        if numbers:
            numbers.random.set_state(states[1])
        for holder, content in before:
            _restore(holder, content)
        for cache, misses in caches:
            if cache.cache_info().misses != misses:  # it may hold tensors without values
                cache.cache_clear()


def _twin(tensor: Tensor, twin: Callable[[Tensor], Tensor]) -> Tensor:
    new = twin(tensor.detach())
    return nn.Parameter(new, requires_grad=False) if isinstance(tensor, nn.Parameter) else new


def _walk(todo: list[Any], found: dict[int, Any], code: list[Any] | None) -> list[Any]:
    """Put into `found` all that can be reached from these by name, but for libraries; functions and classes go
    to `code` where it is given, and are followed where it is None."""
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in _PLAIN or id(value) in found or isinstance(value, Tensor | ModuleType):
            continue
        if isinstance(value, type | FunctionType) and _is_library(value):
            continue
        if isinstance(value, type | FunctionType) and code is not None:
            code.append(value)
            continue
        found[id(value)] = value
        if isinstance(value, FunctionType):
            names = [value.__globals__[n] for n in _names(value.__code__) if n in value.__globals__]
            todo += [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value), *names]
            if names:
                found[id(value.__globals__)] = value.__globals__
        elif isinstance(value, type):
            todo += [*value.__bases__, *vars(value).values()]
        elif isinstance(value, dict):  # of a module's dozen dicts of hooks most are empty
            todo += [v for k, v in value.items() if not (str(k).endswith("_hooks") and v == {})]
        elif isinstance(value, list | tuple | set | deque):
            todo += value
        elif isinstance(value, nn.Module) or (hasattr(value, "__dict__") and not _is_library(kind)):
            todo += [vars(value), kind]
        elif kind.__module__ in ("builtins", "functools"):  # methods, properties, partial functions, caches
            todo += gc.get_referents(value)
    return code or []


def _is_library(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in _LIBRARIES


def _names(code: Any) -> set[str]:
    return {*code.co_names}.union(*(_names(inner) for inner in code.co_consts if hasattr(inner, "co_names")))


def _content(holder: Any) -> Any:
    if isinstance(holder, CellType):
        return {"cell_contents": holder.cell_contents} if gc.get_referents(holder) else {}
    return dict(vars(holder)) if isinstance(holder, type) else holder.copy()


def _restore(holder: Any, content: Any) -> None:
    now, is_dict = _content(holder), isinstance(content, dict)
    same = len(now) == len(content) and all(map(is_, now, content))
    if same and (not is_dict or all(map(is_, now.values(), content.values()))):
        return
    if isinstance(holder, type | CellType) or "__builtins__" in content:  # never without its names
        attributes = isinstance(holder, type | CellType)
        for name in now.keys() - content.keys():
            delattr(holder, name) if attributes else holder.pop(name)
        for name, value in content.items():
            if name not in now or now[name] is not value:
                setattr(holder, name, value) if attributes else holder.__setitem__(name, value)
    else:
        holder.clear()
        (holder.extend if isinstance(holder, list | deque) else holder.update)(content)
