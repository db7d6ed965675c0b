"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

The model runs with weights that have shapes and no values. `Trace` names each module that it calls and each ATen
operation outside of layers, and notes what the operations do to fields, multiply-adds and parameters.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from course_utils.geometry import operations as ops
from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, joined
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer, output_size


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
    tracked: bool = False  # the image flows into it
    parameters: dict[str, bool] = field(default_factory=dict)  # their names, and whether each is a bias
    moves: bool = True  # it only moves values
    macs: int = 0
    pairs: int = 0  # that pooling joins
    uncounted: str = ""  # an operation whose multiply-adds are not known

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.function})" if self.name else f"The model ({self.function})"


@dataclass(eq=False)
class Known:
    """What is known of a tensor: what it sees of the image (None: nothing), and the parameters it is made of."""

    tensor: Tensor | None  # alive, else Python would give its id to another one
    sees: Field | None = None
    parameters: tuple[str, ...] = ()


_UNKNOWN = Known(None)


def trace(model: nn.Module, input_shape: Shape) -> "Trace":
    """Run the model in evaluation mode on one input of this shape, without values.

    Raises ValueError, naming the layer, where the model cannot take the input or needs its values.
    """
    _check_model(model)
    try:
        shape = tuple(checked_integer("", n, 1) for n in input_shape) or checked_integer("", None, 1)
    except (TypeError, ValueError):
        example = "positive integers such as (3, 224, 224), without the batch"
        raise ValueError(f"input_shape must be {example}, got {input_shape!r}.") from None
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    call = nn.Module.__call__
    # In inference mode composite operations come whole.
    with torch.inference_mode(), replaced(model, _weightless):
        image = torch.empty(1, *shape, dtype=first.dtype, device="meta")
        traced = Trace(model, image, first.device)
        try:  # every call of a module is noted, as `torch.fx` does it
            nn.Module.__call__ = lambda module, *args, **kwargs: traced.called(call, module, args, kwargs)
            with traced:
                model(image)
        except Exception as error:
            raise ValueError(getattr(error, "sentence", f"The model cannot be traced: {error}.")) from error
        finally:
            nn.Module.__call__ = call
            for tensor, before in reversed(traced.overwritten.values()):
                tensor.copy_(before)
    return traced


class Trace(TorchDispatchMode):
    """All layers in the order of computation as `steps`; `outputs` has the last use of each module or operation."""

    def __init__(self, model: nn.Module, image: Tensor, device: torch.device):
        super().__init__()
        self.image, self.device = image, device
        self.steps: list[Step] = []
        self.overwritten: dict[int, tuple[Tensor, Tensor]] = {}  # what had values, and those before the run
        self.outputs: dict[str, Step] = {}
        self._names = {id(module): name for name, module in model.named_modules()}
        self._place = ""  # the innermost module that is running and holds others
        self._step: Step | None = None  # the layer or operation that is running
        self._known: dict[int, Known] = {}
        self._sharing: dict[int, list[Known]] = defaultdict(list)  # by the memory that they share
        sides = image.shape[2:] if image.ndim == 4 else (1, 1)  # what is no image has a single place
        steps = [(0, 0, 1, 0), (0, 0, 0, 1)] if image.ndim == 4 else [(0,) * image.ndim] * 2
        self._learn(
            image, Field(tuple(Axis(side, 0, 1, step) for side, step in zip(sides, steps, strict=True)))
        )
        for name, parameter in model.named_parameters():
            self._learn(parameter, None, (name,))

    # Modules and operations become steps

    def called(self, call: Callable, module: nn.Module, args: tuple, kwargs: dict) -> Any:
        name = self._names.get(id(module))
        if self._step or name is None:  # a part of a layer that is one row
            return call(module, *args, **kwargs)
        step, is_leaf = Step(name, type(module).__name__, module), _is_leaf(module)
        output = self._ran(step, is_leaf, call, (module, *args), kwargs)
        tensor = next(tensors_in(output), None)
        made = any(self._of(t).parameters for t in tensors_in((args, kwargs)))
        if is_leaf and tensor is not None and not step.tracked and step.parameters and not made:
            step.tracked = True  # it works on constants with weights of its own
            self._learn(tensor)  # a constant to what follows, and no longer made of weights
        self._finish(step, tensor, is_leaf and step.tracked)
        return output

    def _ran(self, step: Step, is_one: bool, run: Callable, args: tuple, kwargs: dict) -> Any:
        """What a layer or operation computes, or a module that holds some; the innermost is to blame for an error."""
        given, outer = list(tensors_in((args, kwargs))), (self._place, self._step)
        shapes = [tuple(t.shape) for t in given if self._of(t).sees]
        step.tracked, step.in_shape = bool(shapes), (shapes or [tuple(t.shape) for t in given] or [()])[0]
        self._place, self._step = (self._place, step) if is_one else (step.name, None)
        try:
            return run(*args, **kwargs)
        except Exception as error:
            if not hasattr(error, "sentence"):
                error.sentence = _sentence(error, step, shapes)
            raise
        finally:
            self._place, self._step = outer

    def _finish(self, step: Step, output: Tensor | None, is_row: bool) -> None:
        if output is not None:
            step.use = self.outputs[step.name].use + 1 if step.name in self.outputs else 1
            step.shape, step.sees = tuple(output.shape), self._of(output).sees
            self.outputs[step.name] = step
            self.steps += [step] * is_row

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, op = kwargs or {}, ops.operation(func)
        if op.writes:  # perhaps to what is held where no twin was put, a slot or a set
            written = (dict(zip(op.arguments, args, strict=False)) | kwargs).get(op.writes)
            if isinstance(written, Tensor) and not written.is_meta:
                self.overwritten.setdefault(id(written), (written, written.clone()))
        known = [self._of(t) for t in tensors_in((args, kwargs))]
        if not op.is_view and all(k is _UNKNOWN for k in known):  # a constant, which has values
            device = {"device": self.device} if str(kwargs.get("device")) == "meta" else {}
            return func(*args, **kwargs | device)
        if self._step or op.reads or not any(k.sees for k in known):
            return self._operate(func, op, args, kwargs)
        name = base = f"{self._place}.{op.name}".lstrip(".")
        number = 0
        while name in self.outputs or name in self._names.values():  # numbered from the second on
            number += 1
            name = f"{base}_{number}"
        step = Step(name, op.name)
        result = self._ran(step, True, self._operate, (func, op, args, kwargs), {})
        output = next(tensors_in(result), None)
        self._finish(step, output, output is not None and self._of(output).sees is not None)
        return result

    # What the operations do

    def _operate(self, func, op: ops.Operation, args: tuple, kwargs: dict) -> Any:
        if op.is_composite:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        values = op.defaults | dict(zip(op.arguments, args, strict=False)) | kwargs
        given = {name: values[name] for name in op.arguments if name in values}
        tensors = [(name, t) for name, value in given.items() for t in tensors_in(value)]
        found = [(name, t, self._known.get(id(t)) or self._learn(t)) for name, t in tensors]
        seen = [ops.Seen(name, t, t.shape, k.sees) for name, t, k in found if k.sees is not None]
        if op.name == "copy":  # forgets what it writes over
            seen = [t for t in seen if t.name == "src"]
        uses = [(name, p) for name, _, k in found if k.sees is None for p in k.parameters]
        result = _computed(func, op, given, [t for _, t in tensors], args, kwargs)
        if op.writes and isinstance(result, Tensor):
            result = given[op.writes]  # and not what stood for it
        step, names = self._step or Step("", op.name), () if seen else tuple(name for _, name in uses)
        for place, output in enumerate(tensors_in(result)):
            call = ops.Call(func, op, given, seen, output, place)
            if not place:
                _count(step, call, uses)
            sees = _field(step, call) if seen and op.name not in ops.CREATES else None
            if op.writes and not op.is_view:
                self._write(step, output, sees, names)
            else:
                self._learn(output, sees, names)
        return result

    def _of(self, tensor: Tensor) -> Known:
        return self._known.get(id(tensor), _UNKNOWN)

    def _learn(self, tensor: Tensor, sees: Field | None = None, parameters: tuple[str, ...] = ()) -> Known:
        known = self._known[id(tensor)] = Known(tensor, sees, parameters)
        self._sharing[tensor.untyped_storage()._cdata].append(known)
        return known

    def _write(self, step: Step, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...]) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        low, high, layout = _memory(tensor)
        for other in self._sharing[tensor.untyped_storage()._cdata]:
            first, last, whole = _memory(other.tensor)
            if (first, whole) == (low, layout):
                other.sees, other.parameters = sees, parameters
            elif first <= high and low <= last and (sees or other.sees):
                channels = len(whole) == 4 and whole[:1] + whole[2:] == layout[:1] + layout[2:]
                other.sees = _united(step, other.sees, sees, other.tensor.shape if channels else ())
                other.parameters += parameters


def _memory(tensor: Tensor) -> tuple[int, int, list[tuple[int, int]]]:
    """The first and the last place in memory, counted in elements, and sizes and strides."""
    first, strides = tensor.storage_offset(), tensor.stride()
    return first, first + ops.span(tensor.shape, strides), list(zip(tensor.shape, strides, strict=True))


def _united(step: Step, old: Field | None, new: Field | None, shape: Shape) -> Field:
    """What a map of this shape sees once some channels of it were written to; no shape: another part of it."""
    why = f"{step.label} writes into a part of a feature map, whose outputs then see different places."
    try:
        pairs = [[(field and field.axes[i], shape) for field in (old, new)] for i in (0, 1) if shape]
        return Field(tuple(joined(pair, 1) for pair in pairs), why)
    except (NoField, IndexError):
        return Field(why=why)


def _count(step: Step, call: ops.Call, uses: list[tuple[str, str]]) -> None:
    name, macs = call.op.name, ops.macs_of(call)
    for argument, parameter in uses:
        added = argument == "bias" or (argument == "self" and name in ("addmm", "baddbmm"))
        added |= name not in ops.MULTIPLIES and bool(re.search(r"(^|[._])bias(\d*|_[^.]*)$", parameter))
        step.parameters[parameter] = step.parameters.get(parameter, True) and added
    step.macs += macs or 0
    if call.seen:
        step.tracked = True
        step.moves &= call.op.is_view or name in ops.MOVES
        step.uncounted = step.uncounted or (name if macs is None else "")
        step.pairs += ops.pairs_of(call)


def _field(step: Step, call: ops.Call) -> Field:
    try:
        sees = next((t.field for t in call.seen if not t.field.axes), None) or ops.field_of(call)
    except NoField as reason:
        sees = Field(why=f"{step.label} {reason}")
    if any(None in axis.steps for axis in sees.axes) and not sees.why:
        sees = sees._replace(why=f"{step.label} {SCATTERED}")
    return sees if sees.axes else sees._replace(pooled=ops.is_pooled(call, ()))


def _computed(func, op: ops.Operation, given: dict, tensors: list[Tensor], args: tuple, kwargs: dict) -> Any:
    """The result of an operation, on the meta device if one of the tensors is there."""
    if op.name in ("convolution", "conv2d"):  # the meta device takes what others refuse
        for name, least in (("padding", 0), ("dilation", 1)):
            if min(given[name]) < least:
                raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
    if any(t.is_meta for t in tensors):
        if (result := _known_shape(op, given, tensors)) is not None:
            return result
        if "device" in kwargs:
            kwargs = kwargs | {"device": torch.device("meta")}
        if not all(t.is_meta for t in tensors):
            args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
    return func(*args, **kwargs)


_ACTIVATIONS = ops.names("relu gelu silu hardtanh hardswish hardsigmoid sigmoid tanh add mul")


def _known_shape(op: ops.Operation, given: dict, tensors: list[Tensor]) -> Tensor | None:
    """The result where its shape is plain and no check can fail: torch takes up to 3 ms to find it."""
    (first, *others), name = tensors, op.name
    shape, shapes = tuple(first.shape), [tuple(t.shape) for t in others]
    if any(t.dtype != first.dtype for t in others):
        return None
    same = name in _ACTIVATIONS and all(other == shape for other in shapes)
    same |= name == "batch_norm" and shapes == [shape[1:2]] * 4 and not given["training"]
    if same or (
        name == "layer_norm" and shapes == [tuple(given["normalized_shape"])] * 2 == [shape[-1:]] * 2
    ):
        return first if op.writes else _like(first)
    if shapes and shapes[0] and shapes[1:] in ([], [shapes[0][:1]]):  # perhaps with a bias
        wide, *kernel = shapes[0]
        if name == "linear" and (*kernel,) == shape[-1:]:
            return _like(first, (*shape[:-1], wide))
        groups = given["groups"] if name == "conv2d" and len(shape) == 4 else 0
        if groups and wide % groups == 0 and kernel[0] * groups == shape[1]:
            settings = (given[setting] for setting in ("stride", "padding", "dilation"))
            return _like(first, (shape[0], wide, *map(output_size, shape[2:], kernel[1:], *settings)))
    return None


def _like(tensor: Tensor, shape: Shape = ()) -> Tensor:
    """A new tensor on the meta device, as `torch.empty_like` makes it in twenty times the time."""
    strides = tensor.stride()
    if (
        shape or ops.span(tensor.shape, strides) + 1 != tensor.numel()
    ):  # others share its values, or lie between
        return torch.empty(shape or tensor.shape, dtype=tensor.dtype, device="meta")
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device="meta")


def _weightless(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device; whole numbers, which may be indices, keep their values."""
    whole = not (tensor.is_meta or tensor.is_floating_point() or tensor.is_complex())
    return tensor.clone() if whole else _like(tensor)


def _is_leaf(module: nn.Module) -> bool:
    """Whether torch knows this module as one layer (as `torch.fx` has it, and subclasses of such)."""
    from_torch = any(
        c.__module__.startswith("torch.nn.modules.") for c in type(module).__mro__ if c is not nn.Module
    )
    holds = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)  # the layers that do the work
    alone = from_torch and not holds and not module._modules.keys() - {"parametrizations"}
    return alone or isinstance(module, nn.MultiheadAttention)


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ValueError(f"model must be an nn.Module, got {given}.")
    for name, module in model.named_modules():
        label = Step(name, type(module).__name__).label
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(f"{label} is a TorchScript module; give the original one.")
        if any(is_lazy(t) for t in (*module._parameters.values(), *module._buffers.values())):
            raise ValueError(f"{label} has no shape yet: run the model once on images first.")


def _sentence(error: Exception, step: Step, given: Collection[Shape]) -> str:
    """What went wrong: which layer met it first, what that was given, the first line of the error."""
    text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ") or type(error).__name__
    if "meta" in text.lower() or "data-independent" in text or "data-dependent" in text:
        values = "what it computes depends on the values in its input, and only their shape is known"
        return f"{step.label} cannot be traced: {values}."
    return (
        f"{step.label} cannot take {' and '.join(str(shape[1:]) for shape in given) or 'its input'}: {text}."
    )


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)
