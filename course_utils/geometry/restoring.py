"""What a run of a model may change, put back afterwards: the model, what its code keeps elsewhere, random numbers."""

import gc
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from operator import delitem, is_, setitem
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_LIBRARIES = {"torch", "torchvision", "numpy", *sys.stdlib_module_names} - {"types", "argparse"}
_CONTAINERS = {"builtins", "collections", "functools"}  # also methods, properties, caches
_PLAIN = {int, float, bool, str, type(None)}
_USUAL = {dict, OrderedDict, list}
_CACHE = type(lru_cache(print))
_HOLDERS = (dict, list, set, deque, np.ndarray, type, CellType, _CACHE)


@contextmanager
def replaced(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The model in evaluation mode, with `twin(t)` for each tensor t that it holds and no hooks on gradients.

    Afterwards random numbers are as before, and so is what the model holds, and what its code keeps in classes,
    modules and closures: in lists, dicts, sets and names.
    """
    found: dict[int, Any] = {}
    code = _walk([model], found, False)
    own = [holder for holder in found.values() if isinstance(holder, (dict, list))]
    _walk(code, found, True)
    before = [(holder, _content(holder)) for holder in found.values() if isinstance(holder, _HOLDERS)]
    states = [(random.setstate, random.getstate()), (torch.set_rng_state, torch.get_rng_state())]
    states.append((np.random.set_state, np.random.get_state()))  # noqa: NPY002
    twins: dict[int, Any] = {}

    def swapped(value: Any) -> Any:
        if isinstance(value, tuple) and any(isinstance(item, Tensor | tuple) for item in value):
            return getattr(type(value), "_make", type(value))([*map(swapped, value)])
        if isinstance(value, Tensor) and id(value) not in twins:
            new = twin(value.detach())
            twins[id(value)] = nn.Parameter(new, False) if isinstance(value, nn.Parameter) else new
        return twins.get(id(value), value)

    try:
        for holder in own:
            for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                if isinstance(value, (Tensor, tuple)):
                    holder[key] = swapped(value)
        for module in model.modules():
            hooks = {"_backward_hooks": OrderedDict(), "_backward_pre_hooks": OrderedDict()}
            vars(module).update(hooks, training=False)
        yield
    finally:
        for put, state in states:
            put(state)
        for holder, content in before:
            _restore(holder, content)


def _walk(todo: list[Any], found: dict[int, Any], into_code: bool) -> list[Any]:
    """Put into `found` what can be reached by name, but for libraries; returns functions and classes not followed."""
    code = []
    while todo:
        value = todo.pop()
        if type(value) in _USUAL and not value:  # as most of a module's dozen dicts of hooks
            found[id(value)] = value
        if type(value) in _PLAIN or id(value) in found or isinstance(value, (Tensor, ModuleType)):
            continue
        is_code = isinstance(value, (type, FunctionType))
        home = str(value.__module__ if is_code else type(value).__module__).partition(".")[0]
        if is_code and (home in _LIBRARIES or not into_code):
            code += [value] * (home not in _LIBRARIES)
            continue
        found[id(value)] = value
        if isinstance(value, FunctionType):
            space = value.__globals__
            names = [space[name] for name in _names(value.__code__) if name in space]
            found |= {id(space): space} if names else {}
            todo += [value.__closure__, value.__defaults__, value.__kwdefaults__, vars(value), *names]
        elif is_code:
            todo += [*value.__bases__, *vars(value).values()]
        elif isinstance(value, dict):
            todo += [v for v in value.values() if type(v) not in _PLAIN]
        elif isinstance(value, nn.Module) or (home not in _LIBRARIES and hasattr(value, "__dict__")):
            todo += [vars(value), type(value)]
        elif home in _CONTAINERS or isinstance(value, tuple):
            todo += [value.__wrapped__] if isinstance(value, _CACHE) else gc.get_referents(value)
    return code


def _names(code: Any) -> set[str]:
    return {*code.co_names}.union(*(_names(inner) for inner in code.co_consts if hasattr(inner, "co_names")))


def _content(holder: Any) -> Any:
    if isinstance(holder, CellType):
        return {"cell_contents": holder.cell_contents} if gc.get_referents(holder) else {}
    if isinstance(holder, _CACHE):
        return holder.cache_info().misses
    return dict(vars(holder)) if isinstance(holder, type) else holder.copy()


def _restore(holder: Any, content: Any) -> None:
    is_dict = isinstance(holder, dict)
    if isinstance(holder, _CACHE):
        if _content(holder) != content:  # it may hold tensors without values
            holder.cache_clear()
    elif isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            holder[...] = content
    elif isinstance(holder, (type, CellType)) or (is_dict and "__builtins__" in content):
        now = _content(holder)
        for name in now.keys() - content.keys():  # one by one, since a module is never without its names
            (delitem if is_dict else delattr)(holder, name)
        for name in [name for name in content if name not in now or now[name] is not content[name]]:
            (setitem if is_dict else setattr)(holder, name, content[name])
    elif holder or content:
        old, new = ([*some, *some.values()] if is_dict else [*some] for some in (content, holder))
        if len(old) != len(new) or not all(map(is_, old, new)):
            holder.clear()
            (holder.extend if isinstance(holder, list | deque) else holder.update)(content)
