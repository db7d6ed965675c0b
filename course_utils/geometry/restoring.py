"""What a run of a model may change, put back afterwards: the model, what its code keeps elsewhere, random numbers."""

import gc
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from operator import is_, is_not
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_LIBRARIES = {"torch", "torchvision", "numpy", *sys.stdlib_module_names}
_PLAIN = {int, float, bool, str, type(None)}
_CACHE = type(lru_cache(print))
_CODE, _LEFT = (type, FunctionType), (Tensor, ModuleType)
_HOLDERS = (dict, list, set, deque, type, CellType)


@contextmanager
def replaced(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The model in evaluation mode, with `twin(t)` for each tensor t that it holds and no hooks on gradients.

    Afterwards random numbers are as before, and so is what the model holds, and what its code keeps in classes,
    modules and closures: in lists, dicts, sets and names.
    """
    found: dict[int, Any] = {}
    code = _walk([model], found, False)
    own = [holder for holder in found.values() if isinstance(holder, dict | list)]
    _walk(code, found, True)
    before = [(holder, _content(holder)) for holder in found.values() if isinstance(holder, _HOLDERS)]
    caches = [(value, value.cache_info().misses) for value in found.values() if isinstance(value, _CACHE)]
    states = [(random.setstate, random.getstate()), (torch.set_rng_state, torch.get_rng_state())]
    if "numpy" in sys.modules:
        numbers = sys.modules["numpy"].random
        states.append((numbers.set_state, numbers.get_state()))
    twins: dict[int, Tensor] = {}

    def swapped(value: Any) -> Any:
        if isinstance(value, Tensor) and id(value) not in twins:
            new = twin(value.detach())
            is_parameter = isinstance(value, nn.Parameter)
            twins[id(value)] = nn.Parameter(new, requires_grad=False) if is_parameter else new
        if type(value) is tuple:
            inner = tuple(map(swapped, value))
            return inner if any(map(is_not, inner, value)) else value
        return twins.get(id(value), value)

    try:
        for holder in own:
            for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
                if isinstance(value, (Tensor, tuple)):
                    holder[key] = swapped(value)
        for module in model.modules():
            hooks = [name for name in ("_backward_hooks", "_backward_pre_hooks") if getattr(module, name)]
            vars(module).update({name: OrderedDict() for name in hooks}, training=False)
        yield
    finally:
        for put, state in states:
            put(state)
        for holder, content in before:
            _restore(holder, content)
        for cache, misses in caches:
            if cache.cache_info().misses != misses:  # it may hold tensors without values
                cache.cache_clear()


def _walk(todo: list[Any], found: dict[int, Any], into_code: bool) -> list[Any]:
    """Put into `found` all that can be reached by name, but for libraries; the functions and classes that were not
    followed are the result."""
    code = []
    while todo:
        value = todo.pop()
        if type(value) in _PLAIN or id(value) in found or isinstance(value, _LEFT):
            continue
        is_code, is_module = isinstance(value, _CODE), isinstance(value, nn.Module)
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
        elif isinstance(value, type):
            todo += [*value.__bases__, *vars(value).values()]
        elif isinstance(value, dict):  # of a module's dozen dicts of hooks most are empty
            todo += [v for k, v in value.items() if not (str(k).endswith("_hooks") and v == {})]
        elif is_module or (home not in _LIBRARIES and hasattr(value, "__dict__")):
            todo += [vars(value), type(value)]
        elif home in ("builtins", "collections", "functools"):  # containers, methods, properties, caches
            todo += gc.get_referents(value)
    return code


def _names(code: Any) -> set[str]:
    return {*code.co_names}.union(*(_names(inner) for inner in code.co_consts if hasattr(inner, "co_names")))


def _content(holder: Any) -> Any:
    if type(holder) is dict:  # nearly all are
        return holder.copy()
    if isinstance(holder, CellType):
        return {"cell_contents": holder.cell_contents} if gc.get_referents(holder) else {}
    if isinstance(holder, type | dict):
        return dict(vars(holder) if isinstance(holder, type) else holder)
    return list(holder)


def _restore(holder: Any, content: Any) -> None:
    if not holder and not content:
        return
    now = _content(holder)
    values = [some.values() if isinstance(some, dict) else some for some in (now, content)]
    if len(now) == len(content) and all(map(is_, now, content)) and all(map(is_, *values)):
        return
    if isinstance(holder, type | CellType):
        for name in now.keys() - content.keys():
            delattr(holder, name)
        for name in [name for name in content if name not in now or now[name] is not content[name]]:
            setattr(holder, name, content[name])
    elif "__builtins__" in content:  # a module is never without its names
        for name in now.keys() - content.keys():
            del holder[name]
        holder.update(content)
    else:
        holder.clear()
        (holder.extend if isinstance(holder, list | deque) else holder.update)(content)
