"""What a run of a model may change, put back afterwards: the model, and what its code keeps elsewhere by name."""

import gc
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from operator import delitem, setitem
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

_LIBRARIES = {"torch", "torchvision", "numpy", *sys.stdlib_module_names} - {"types", "argparse"}  # namespaces
_CACHE, _KNOWN = type(lru_cache(print)), (Tensor, nn.Module, type)


@contextmanager
def replaced(model: nn.Module, twin: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The model in evaluation mode, with `twin(t)` for each tensor t that it holds and no hooks on gradients.

    Afterwards random numbers are as before, and so are attributes of the modules and their classes, the names
    in their files, and the dicts and lists that these, their hooks and the functions they call hold or use by name.
    """
    before, twins = _reached(model), {}
    states = [(random.setstate, random.getstate()), (torch.set_rng_state, torch.get_rng_state())]
    states.append((np.random.set_state, np.random.get_state()))  # noqa: NPY002

    def swapped(tensor: Tensor) -> Tensor:
        if id(tensor) not in twins:
            new = twin(tensor.detach())
            twins[id(tensor)] = nn.Parameter(new, False) if isinstance(tensor, nn.Parameter) else new
        return twins[id(tensor)]

    try:
        for holder, content in before:
            put = setattr if isinstance(holder, type) else setitem
            for key, value in content.items() if "__builtins__" not in content else ():  # a file's names
                if isinstance(value, (Tensor, tuple)) and tensors_in(value):
                    put(holder, key, tree_map_only(Tensor, swapped, value))
        for module in model.modules():
            hooks = {"_backward_hooks": OrderedDict(), "_backward_pre_hooks": OrderedDict()}
            vars(module).update(hooks, training=False)
        yield
    finally:
        for put, state in states:
            put(state)
        for holder, content in before:
            _restore(holder, content)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    nested = [item for item in items if isinstance(item, (Tensor, dict, tuple, list))]
    return [tensor for item in nested for tensor in tensors_in(item)]


def _reached(model: nn.Module) -> list[tuple[Any, dict[Any, Any]]]:
    """What holds names or values that a run may change, and its content."""
    kinds = {type(module) for module in model.modules()}
    classes = {c for kind in kinds for c in kind.__mro__ if not _is_librarys(c)}
    found, todo = {}, [*map(vars, model.modules()), *classes]
    while todo:
        value = todo.pop()
        if id(value) in found or (isinstance(value, FunctionType) and _is_librarys(value)):
            continue
        content = _content(value)
        found[id(value)] = value, content
        inner = [value.__wrapped__] if isinstance(value, _CACHE) else content.values()
        if isinstance(value, FunctionType):
            space = value.__globals__
            inner = [space[name] for name in _names(value.__code__) if name in space]
            found |= {id(space): (space, dict(space))} if inner and id(space) not in found else {}
            inner += [item for cell in value.__closure__ or () for item in gc.get_referents(cell)]
        for item in inner:
            if isinstance(item, (dict, list, FunctionType, _CACHE)):
                todo.append(item)
            elif hasattr(item, "__dict__") and not (isinstance(item, _KNOWN) or _is_librarys(type(item))):
                todo.append(vars(item))
    return [pair for pair in found.values() if not isinstance(pair[0], FunctionType)]


def _is_librarys(code: type | FunctionType) -> bool:
    return str(code.__module__).partition(".")[0] in _LIBRARIES


def _names(code: Any) -> set[str]:
    return {*code.co_names}.union(*(_names(inner) for inner in code.co_consts if hasattr(inner, "co_names")))


def _content(holder: Any) -> dict[Any, Any]:
    """What it holds, by key, place or name."""
    if isinstance(holder, dict):
        return dict(holder)
    if isinstance(holder, _CACHE):
        return {"misses": holder.cache_info().misses}
    return dict(enumerate(holder) if isinstance(holder, list) else vars(holder))


def _restore(holder: Any, content: dict[Any, Any]) -> None:
    if isinstance(holder, list):
        holder[:] = content.values()
    elif isinstance(holder, _CACHE):
        if _content(holder) != content:  # it may hold tensors without values
            holder.cache_clear()
    elif holder or content:  # unlike most of a module's dozen dicts of hooks
        now = _content(holder)
        put, drop = (setitem, delitem) if isinstance(holder, dict) else (setattr, delattr)
        for key in now.keys() - content.keys():
            drop(holder, key)
        for key, value in content.items():
            if now.get(key, now) is not value:
                put(holder, key, value)
