"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

The model runs with weights that have shapes and no values. `Trace` names each module that it calls and each ATen
operation outside of layers, and notes what the operations do to fields, multiply-adds and parameters.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from course_utils.geometry import operations as ops
from course_utils.geometry.fields import Axis, Field, NoField, joined
from course_utils.geometry.operations import Known
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer
from course_utils.geometry.table import KINDS


@dataclass
class Step:
    """One use of a module, or of an operation outside layers: its output, and if it is a layer what it did."""

    name: str
    function: str  # or the module's class
    module: nn.Module | None = None
    in_shape: Shape = ()
    shape: Shape = ()
    use: int = 1
    sees: Field | None = None  # what its output sees of the image
    parameters: dict[str, bool] = field(default_factory=dict)  # their names, and whether each is a bias
    kind: str = "identity"  # of its operations that of the highest rank
    macs: int = 0
    pairs: int = 0  # that pooling joins
    uncounted: str = ""  # an operation whose multiply-adds are not known

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.function})" if self.name else f"The model ({self.function})"


def trace(model: nn.Module, input_shape: Shape, is_image: bool = False) -> "Trace":
    """Run the model in evaluation mode on one input of this shape, without values.

    Raises ValueError, naming the layer, where the model cannot take the input or needs its values.
    """
    if not isinstance(model, nn.Module):
        given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ValueError(f"model must be an nn.Module, got {given}.")
    for name, module in model.named_modules():
        label = Step(name, type(module).__name__).label
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(f"{label} is a TorchScript module; give the original one.")
        if any(map(is_lazy, (*module._parameters.values(), *module._buffers.values()))):
            raise ValueError(f"{label} has no shape yet: run the model once on images first.")
    sizes = input_shape if isinstance(input_shape, tuple | list) and input_shape else (input_shape,)
    if is_image and len(sizes) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}.")
    shape = [checked_integer("Each size in input_shape", n, 1) for n in sizes]
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    # Whole numbers keep their values, since they may be indices. In inference mode composite operations come whole.
    with torch.inference_mode(), replaced(model, lambda t: _shell(t) if t.is_floating_point() else t.clone()):
        traced = Trace(model, torch.empty(1, *shape, dtype=first.dtype, device="meta"), first.device)
        try:  # every call of a module is noted, as `torch.fx` does it
            with traced, patch.object(nn.Module, "__call__", lambda *args, **kw: traced.called(*args, **kw)):
                model(traced.image)
        except Exception as error:
            raise ValueError(error.sentence) from error
        finally:
            for tensor, before in reversed(traced.overwritten.values()):
                tensor.copy_(before)
    return traced


class Trace(TorchDispatchMode):
    """All layers in the order of computation as `steps`; `outputs` has the last use of each module or operation."""

    def __init__(self, model: nn.Module, image: Tensor, device: torch.device):
        super().__init__()
        self.image, self.device, self._call = image, device, nn.Module.__call__
        self.steps, self.outputs = [], {}
        self.overwritten: dict[int, tuple[Tensor, Tensor]] = {}  # what had values, and those before the run
        self._names = {id(module): name for name, module in model.named_modules()}
        # What is running: the innermost module that holds others, and the layer or operation in it.
        self._place, self._step = "", None
        self._known: dict[int, Known] = {}
        self._sharing: dict[int, list[Known]] = defaultdict(list)  # by the memory that they share
        axes = [Axis(1, 0, 1, (0,) * image.ndim)] * 2  # what is no image has a single place
        if image.ndim == 4:
            axes = [Axis(image.shape[d], 0, 1, tuple(int(d == i) for i in range(4))) for d in (2, 3)]
        self._learn(image, Field(tuple(axes)))
        for name, parameter in model.named_parameters():
            self._learn(parameter, None, (name,))

    def called(self, module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
        """A call of a module: a step unless it is a part of a layer that is one row."""
        name = self._names.get(id(module))
        if self._step or name is None:
            return self._call(module, *args, **kwargs)
        # One layer is what torch knows as one, as `torch.fx` has it, and subclasses of such.
        holds = module._modules.keys() - {"parametrizations"}
        is_one = bool(torchs(module)) and (not holds or isinstance(module, nn.MultiheadAttention))
        step = Step(name, type(module).__name__, module)
        return self._stepped(step, is_one, self._call, (module, *args), kwargs)

    def _stepped(self, step: Step, is_one: bool, run: Callable, args: tuple, kwargs: dict) -> Any:
        """What a layer or operation computes, or a module that holds some; the innermost is to blame for an error."""
        given, outer = tensors_in((args, kwargs)), (self._place, self._step)
        known = self._of(given)
        shapes, made = [tuple(k.shape) for k in known if k.sees], any(k.parameters for k in known)
        step.in_shape = (shapes or [tuple(t.shape) for t in given] or [()])[0]
        self._place, self._step = (self._place, step) if is_one else (step.name, None)
        try:
            result = run(*args, **kwargs)
        except Exception as error:
            error.sentence = getattr(error, "sentence", None) or sentence(error, step, shapes)
            raise
        finally:
            self._place, self._step = outer
        if (output := next(iter(tensors_in(result)), None)) is None:
            return result
        on_constants = is_one and step.parameters and not (shapes or made)  # with weights of its own
        if on_constants:
            self._learn(output)  # a constant to what follows, and no longer made of weights
        step.use = self.outputs[step.name].use + 1 if step.name in self.outputs else 1
        step.shape, step.sees = tuple(output.shape), next((k.sees for k in self._of([output])), None)
        self.outputs[step.name] = step
        if is_one and (step.sees or (step.module is not None and (shapes or on_constants))):
            self.steps.append(step)
        return result

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, op = kwargs or {}, ops.operation(func)
        known = self._of(tensors_in((args, kwargs)))
        written = op.writes and (dict(zip(op.arguments, args, strict=False)) | kwargs).get(op.writes)
        # Held where no twin was put: a global name, a slot.
        if isinstance(written, Tensor) and not written.is_meta:
            self.overwritten.setdefault(id(written), (written, written.clone()))
        if not op.is_view and not known:  # a constant, which has values
            device = {"device": self.device} if str(kwargs.get("device")) == "meta" else {}
            with torch.inference_mode(False), torch.no_grad():  # code may keep it, and train with it later
                return func(*args, **kwargs | device)
        if self._step or op.reads or not any(k.sees for k in known):
            return self._operate(op, args, kwargs)
        base, used = f"{self._place}.{op.name}".lstrip("."), {*self.outputs, *self._names.values()}
        name = next(name for name in chain([base], (f"{base}_{n}" for n in count(1))) if name not in used)
        return self._stepped(Step(name, op.name), True, self._operate, (op, args, kwargs), {})

    def _operate(self, op: ops.Operation, args: tuple, kwargs: dict) -> Any:
        if op.is_composite:
            with self:
                result = op.func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        given = op.defaults | dict(zip(op.arguments, args, strict=False)) | kwargs
        tensors = [(name, t) for name, value in given.items() for t in tensors_in(value)]
        found = [(name, self._known.get(id(t)) or self._learn(t)) for name, t in tensors]
        # A copy forgets what it writes over.
        seen = [k for name, k in found if k.sees and (op.name, name) != ("copy", "self")]
        uses = [(name, p) for name, k in found if not k.sees for p in k.parameters]
        result = _computed(op, given, [t for _, t in tensors], args, kwargs)
        outputs = given[op.writes] if op.writes and not isinstance(result, tuple) else result
        step, parameters = self._step or Step("", op.name), () if seen else tuple(p for _, p in uses)
        for place, output in enumerate(tensors_in(outputs)):
            call = ops.Call(op, given, seen, output, place)
            if not place:
                _count(step, call, uses)
            sees = ops.field_of(call, step.label) if seen and not op.creates else None
            if op.writes and not op.is_view:
                self._write(output, sees, parameters, step.label)
            else:
                self._learn(output, sees, parameters)
        return outputs if isinstance(result, Tensor) else result  # what was written to, not what stood for it

    def _of(self, tensors: list[Tensor]) -> list[Known]:
        """What is known of those of these tensors of which something is."""
        return [self._known[id(t)] for t in tensors if id(t) in self._known]

    def _learn(self, tensor: Tensor, sees: Field | None = None, parameters: tuple[str, ...] = ()) -> Known:
        known = self._known[id(tensor)] = Known(tensor, sees, parameters)
        self._sharing[tensor.untyped_storage()._cdata].append(known)
        return known

    def _write(self, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...], label: str) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        why = f"{label} writes into a part of a feature map, whose outputs then see different places."
        low, high, layout = _memory(tensor)
        for other in self._sharing[tensor.untyped_storage()._cdata]:
            first, last, whole = _memory(other.tensor)
            if (first, whole) == (low, layout):
                other.sees, other.parameters = sees, parameters
            elif first <= high and low <= last and (sees or other.sees):
                other.parameters += parameters
                fields, other.sees = (other.sees, sees), Field(why=why)
                alike = len(whole) == 4 and whole[:1] + whole[2:] == layout[:1] + layout[2:]
                if alike and (first - low) % (whole[1][1] or 1) == 0:  # some channels, not some rows
                    with suppress(NoField, IndexError):
                        parts = [[(f and f.axes[i], other.tensor.shape) for f in fields] for i in (0, 1)]
                        other.sees = Field(tuple(joined(pair, 1) for pair in parts), why)


def _memory(tensor: Tensor) -> tuple[int, int, list[tuple[int, int]]]:
    """The first and the last place in memory, counted in elements, and sizes and strides."""
    first, strides = tensor.storage_offset(), tensor.stride()
    return first, first + ops.span(tensor.shape, strides), list(zip(tensor.shape, strides, strict=True))


_BIAS = re.compile(r"(^|[._])bias(\d*|_[^.]*)$")


def _count(step: Step, call: ops.Call, uses: list[tuple[str, str]]) -> None:
    op, (macs, pairs) = call.op, ops.cost_of(call)
    kind = "conv_transpose" if call.given.get("transposed") else op.kind
    step.kind = max(step.kind, kind, key=KINDS.index)
    for argument, parameter in uses:
        added = argument == "bias" or (argument == "self" and op.name in ("addmm", "baddbmm"))
        scales = call.seen and (argument == "weight" or (op.name, len(uses)) == ("mul", 1))
        added |= not (scales or op.multiplies) and bool(_BIAS.search(parameter))
        step.parameters[parameter] = step.parameters.get(parameter, True) and added
    step.macs, step.pairs = step.macs + (macs or 0), step.pairs + pairs
    if call.seen and macs is None:
        step.uncounted = step.uncounted or op.name


def _computed(op: ops.Operation, given: dict, tensors: list[Tensor], args: tuple, kwargs: dict) -> Any:
    """The result of an operation, on the meta device if one of the tensors is there."""
    for name in ("padding", "dilation") if op.kind == "conv" else ():
        if min(given[name]) < (least := int(name == "dilation")):  # the meta device takes what others refuse
            raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
    if not any(t.is_meta for t in tensors):
        return op.func(*args, **kwargs)
    is_known = not op.is_view and (op.is_pointwise or not op.writes)
    key = (id(op), *map(_key, given.values())) if is_known else None
    if key in _RESULTS:
        return given[op.writes] if op.writes else _shell(_RESULTS[key])
    if "device" in kwargs:
        kwargs = kwargs | {"device": torch.device("meta")}
    args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
    result = op.func(*args, **kwargs)
    if key and isinstance(result, Tensor) and len(_RESULTS) < 10_000:
        _RESULTS[key] = _shell(result)
    return result


_RESULTS: dict[tuple | None, Tensor] = {}  # torch takes up to 3 ms to find a shape


def _key(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return tuple(map(_key, value)) if isinstance(value, list | tuple) else (value, type(value))


def _shell(tensor: Tensor) -> Tensor:
    """A tensor of the same shape and type, without values."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def torchs(module: nn.Module | None) -> list[type]:
    """The classes of torch's that make a layer of it, the closest first."""
    files = [(c, c.__module__) for c in type(module).__mro__ if c.__module__.startswith("torch.nn.modules.")]
    return [c for c, file in files if not file.endswith((".module", ".container"))]


def sentence(error: Exception, step: Step, given: Collection[Shape]) -> str:
    """What went wrong: which layer met it first, what that was given, the first line of the error."""
    text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ") or type(error).__name__
    if "meta" in text.lower() or "data-independent" in text or "data-dependent" in text:
        values = "what it computes depends on the values in its input, and only their shape is known"
        return f"{step.label} cannot be traced: {values}."
    what = " and ".join(str(shape[1:]) for shape in given) or "its input"
    return f"{step.label} cannot take {what}: {text}."


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    nested = [item for item in items if isinstance(item, (Tensor, dict, tuple, list))]
    return [tensor for item in nested for tensor in tensors_in(item)]
