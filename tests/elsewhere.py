"""A second device for machines that have none: tensors that hold CPU tensors and say that they are on "elsewhere".

As on a GPU an operation refuses to mix them with CPU tensors of any size but a single number, and `.numpy()` needs
`.cpu()` first; as on Apple's there is no float64. What is computed is the CPU's result.

    with Elsewhere():
        fit(model, train, device=DEVICE)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: object) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object) -> None:
        """Nothing to do: the second device draws from the CPU's generator, which torch sets back."""


backend_registration._setup_privateuseone_for_python_backend("elsewhere", _Backend())
DEVICE = torch.device("elsewhere:0")
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Elsewhere(TorchDispatchMode):
    """While it is entered, torch can be asked for tensors on the second device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class There(Tensor):
    """A tensor on the second device."""

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        if held.dtype == torch.float64:
            raise TypeError("Cannot convert a tensor to float64, since this device does not support it.")
        layout = {"dtype": held.dtype, "device": DEVICE}
        return Tensor._make_wrapper_subclass(cls, held.shape, held.stride(), held.storage_offset(), **layout)

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, context, size, stride):
        return There(inner["held"])

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def compute(function, args, kwargs):
    """Run one operation on the CPU, and put its results where torch would."""
    given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    there = any(isinstance(value, There) for value in given)
    if there and function not in COPIES and any(not isinstance(v, There) and v.ndim for v in given):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found two, {DEVICE} and cpu ({function})"
        )
    if torch.is_inference_mode_enabled():  # a view that is an inference tensor could not be wrapped
        with torch.inference_mode(False), torch.no_grad():
            return compute(function, args, kwargs)
    if function is torch.ops.aten.copy_.default:
        there = isinstance(args[0], There)
    elif kwargs.get("device") is not None:
        asked = torch.device(kwargs["device"])
        there = asked.type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu") if there else asked}
    results = function(*tree_map(held, args), **tree_map(held, kwargs))
    if not there:
        return results
    known = {id(held(value)): value for value in given}  # an operation in place returns what it was given
    return tree_map(lambda result: placed(result, known), results)


def placed(result, known: dict[int, Tensor]):
    if not isinstance(result, Tensor):
        return result
    return known[id(result)] if id(result) in known else There(result)


def held(value):
    """The CPU tensor in one of the second device, anything else as it is."""
    return value.held if isinstance(value, There) else value
