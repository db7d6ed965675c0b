"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

The model runs with weights that have shapes and no values. `Trace` names each module that it calls and each ATen
operation outside of layers, and notes what the operations do to fields, multiply-adds and parameters.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from course_utils.geometry import operations as ops
from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, united
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer, output_size


class Output(NamedTuple):
    """What a module or operation put out at its `use`-th use (from 1): its shape, and what it sees of the image."""

    use: int
    shape: Shape
    sees: Field | None

    @property
    def is_map(self) -> bool:
        return self.sees is not None and len(self.shape) == 4 and not self.sees.pooled


@dataclass
class Step:
    """One layer at work: a module that holds no others, or an operation called outside one."""

    name: str
    function: str  # or the module's class
    module: nn.Module | None = None
    in_shape: Shape = ()
    output: Output | None = None
    tracked: bool = False  # the image flows into it
    parameters: dict[str, bool] = field(default_factory=dict)  # their names, and whether each is a bias
    moves: bool = True  # it only moves values
    macs: int = 0
    windows: int = 0
    uncounted: str = ""  # an operation whose multiply-adds are not known

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.function})" if self.name else f"The model ({self.function})"


@dataclass(eq=False)
class Known:
    """What is known of a tensor: what it sees of the image (None: nothing), and the parameters it is made of."""

    tensor: Tensor  # alive, else Python would give its id to another one
    sees: Field | None = None
    parameters: tuple[str, ...] = ()


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
    parameters = list(model.parameters())
    dtype = next((p.dtype for p in parameters if p.is_floating_point()), torch.float32)
    device = next((p.device for p in parameters), torch.device("cpu"))
    # In inference mode composite operations come whole.
    with torch.inference_mode(), replaced(model, _weightless):
        traced = Trace(model, torch.empty(1, *shape, dtype=dtype, device="meta"), device)
        traced.run(model)
    return traced


class Trace(TorchDispatchMode):
    """All steps in the order of computation; `outputs` has the last of each module (or step) by its name."""

    def __init__(self, model: nn.Module, image: Tensor, device: torch.device):
        super().__init__()
        self.image, self.device = image, device
        self.steps: list[Step] = []
        self.outputs: dict[str, Output] = {}
        self._names = {id(module): name for name, module in model.named_modules()}
        self._place = ""  # the innermost module that is running and holds others
        self._step: Step | None = None  # the layer or operation that is running
        self._known: dict[int, Known] = {}
        self._sharing: dict[int, list[Known]] = defaultdict(list)  # by the memory that they share
        self._learn(image, Field((_pixels(image, 2), _pixels(image, 3))))
        for name, parameter in model.named_parameters():
            self._learn(parameter, None, (name,))

    def run(self, model: nn.Module) -> None:
        """Run the model with every call of a module noted, as `torch.fx` does."""
        call = nn.Module.__call__
        nn.Module.__call__ = lambda module, *args, **kwargs: self._called(call, module, args, kwargs)
        try:
            with self:
                model(self.image)
        except Exception as error:
            self._blame(error, Step("", type(model).__name__))
            raise ValueError(error.sentence) from error
        finally:
            nn.Module.__call__ = call

    # Modules and operations become steps

    def _called(self, call: Callable, module: nn.Module, args: tuple, kwargs: dict) -> Any:
        name, step = self._names.get(id(module)), self._step
        if step is not None or name is None:  # a part of a layer that is one row
            macs, output = step and step.macs, call(module, *args, **kwargs)
            if step and ".parametrizations." in f".{name}":  # its weights are made, which is not its work
                step.macs = macs
            return output
        step, is_leaf = Step(name, type(module).__name__, module), _is_leaf(module)
        hooks = module._forward_pre_hooks  # they make weights, too
        handle = module.register_forward_pre_hook(lambda *_: setattr(step, "macs", 0)) if hooks else None
        output = self._ran(step, is_leaf, call, (module, *args), kwargs)
        if handle:
            handle.remove()
        self._finish(step, output, is_leaf and self._is_row(step, output, (args, kwargs)))
        return output

    def _ran(self, step: Step, is_one: bool, run: Callable, args: tuple, kwargs: dict) -> Any:
        """What a layer or operation computes, or a module that holds some; the innermost is to blame for an error."""
        outer = self._place, self._step
        given = list(tensors_in((args, kwargs)))
        step.in_shape = next(
            (tuple(t.shape) for t in given if self._sees(t)), tuple(given[0].shape) if given else ()
        )
        self._place, self._step = (self._place, step) if is_one else (step.name, None)
        try:
            return run(*args, **kwargs)
        except Exception as error:
            self._blame(error, step, [tuple(t.shape) for t in given if self._sees(t)])
            raise
        finally:
            self._place, self._step = outer

    def _finish(self, step: Step, output: Any, is_row: bool) -> None:
        for tensor in list(tensors_in(output))[:1]:
            use = self.outputs[step.name].use + 1 if step.name in self.outputs else 1
            self.outputs[step.name] = step.output = Output(use, tuple(tensor.shape), self._sees(tensor))
            self.steps += [step] * is_row

    def _is_row(self, step: Step, output: Any, given: Any) -> bool:
        """Whether a layer works on the image, or with weights of its own on constants (and not on other weights)."""
        tensor = next(tensors_in(output), None)
        if tensor is None or step.tracked or self._sees(tensor):
            return tensor is not None
        if not step.parameters or any(map(self._parameters, tensors_in(given))):
            return False
        self._learn(tensor)  # a constant to what follows, and no longer made of weights
        return True

    def _free_name(self, function: str) -> str:
        """The operation's name behind its module's, numbered from the second on."""
        base = name = f"{self._place}.{function}".lstrip(".")
        number = 0
        while name in self.outputs or name in self._names.values():
            number += 1
            name = f"{base}_{number}"
        return name

    def _blame(self, error: Exception, step: Step, given: Collection[Shape] = ()) -> None:
        """Give the error one sentence: which layer met it first, what that was given, the first line of the error."""
        if hasattr(error, "sentence"):
            return
        text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ") or type(error).__name__
        if "meta" in text.lower() or "data-independent" in text or "data-dependent" in text:
            values = "what it computes depends on the values in its input, and only their shape is known"
            error.sentence = f"{step.label} cannot be traced: {values}."
        else:
            shapes = " and ".join(str(shape[1:]) for shape in given) or "its input"
            error.sentence = f"{step.label} cannot take {shapes}: {text}."

    # What the operations do

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, op = kwargs or {}, ops.operation(func)
        given = list(tensors_in((args, kwargs)))
        if not op.is_view and not any(id(t) in self._known for t in given):  # a constant, which has values
            if str(kwargs.get("device")) == "meta":
                kwargs = kwargs | {"device": self.device}
            return func(*args, **kwargs)
        if self._step is None and not op.reads and any(map(self._sees, given)):
            step = Step(self._free_name(op.name), op.name, tracked=True)
            result = self._ran(step, True, self._operate, (func, op, args, kwargs), {})
            self._finish(step, result, next((self._sees(t) for t in tensors_in(result)), None) is not None)
            return result
        return self._operate(func, op, args, kwargs)

    def _operate(self, func, op: ops.Operation, args: tuple, kwargs: dict) -> Any:
        if op.is_composite:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        given = op.defaults | dict(zip(op.arguments, args, strict=False)) | kwargs
        tensors = [(name, t) for name, value in given.items() for t in tensors_in(value)]
        found = [(name, t, self._known.get(id(t)) or self._learn(t)) for name, t in tensors]
        seen = [ops.Seen(name, t, t.shape, k.sees) for name, t, k in found if k.sees is not None]
        if op.name == "copy":  # forgets what it writes over
            seen = [t for t in seen if t.name == "src"]
        uses = [(name, p) for name, _, k in found if k.sees is None for p in k.parameters]
        result = self._computed(func, op, given, [t for _, t in tensors], args, kwargs)
        if op.writes and isinstance(result, Tensor):
            result = given[op.writes]  # and not what stood for it
        if outputs := list(tensors_in(result)):
            self._note(ops.Call(func, op, given, seen, outputs[0]), outputs, uses)
        return result

    def _computed(
        self, func, op: ops.Operation, given: dict, tensors: list[Tensor], args: tuple, kwargs: dict
    ) -> Any:
        if any(t.is_meta for t in tensors):
            if (result := _known_shape(op, given, tensors)) is not None:
                return result
            if "device" in kwargs:
                kwargs = kwargs | {"device": torch.device("meta")}
            if not all(t.is_meta for t in tensors):
                args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
        if op.name in ("convolution", "conv2d"):  # the meta device takes what others refuse
            for name, least in (("padding", 0), ("dilation", 1)):
                if min(given[name]) < least:
                    raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
        return func(*args, **kwargs)

    def _note(self, call: ops.Call, outputs: list[Tensor], uses: list[tuple[str, str]]) -> None:
        op, step = call.op, self._step or Step("", call.op.name)
        names = () if call.seen else tuple(dict.fromkeys(name for _, name in uses))
        self._count(step, call, uses)
        for place, output in enumerate(outputs):
            sees = None
            if call.seen and op.name not in ops.CREATES:
                sees = self._field(step, call._replace(out=output, place=place))
            if op.writes and not op.is_view:
                self._write(step, output, sees, names)
            else:
                self._learn(output, sees, names)

    def _count(self, step: Step, call: ops.Call, uses: list[tuple[str, str]]) -> None:
        name, macs = call.op.name, ops.macs_of(call)
        for argument, parameter in uses:
            added = argument == "bias" or (argument == "self" and name in ("addmm", "baddbmm", "addmv"))
            added |= name not in ops.MULTIPLIES and _named_bias(parameter)
            step.parameters[parameter] = step.parameters.get(parameter, True) and added
        step.macs += macs or 0
        if call.seen:
            step.tracked = True
            step.moves &= call.op.is_view or name in ops.MOVES
            step.uncounted = step.uncounted or (name if macs is None else "")
            step.windows += ops.windows_of(call)

    def _field(self, step: Step, call: ops.Call) -> Field:
        lost = next((t.field for t in call.seen if not t.field.axes), None)
        try:
            sees = lost or ops.field_of(call)
        except NoField as reason:
            sees = Field(why=f"{step.label} {reason}")
        if any(None in axis.steps for axis in sees.axes) and not sees.why:
            sees = sees._replace(why=f"{step.label} {SCATTERED}")
        return sees if sees.axes else sees._replace(pooled=ops.is_pooled(call, ()))

    # Tensors

    def _learn(self, tensor: Tensor, sees: Field | None = None, parameters: tuple[str, ...] = ()) -> Known:
        known = self._known[id(tensor)] = Known(tensor, sees, parameters)
        self._sharing[tensor.untyped_storage()._cdata].append(known)
        return known

    def _sees(self, tensor: Tensor) -> Field | None:
        return self._known[id(tensor)].sees if id(tensor) in self._known else None

    def _parameters(self, tensor: Tensor) -> tuple[str, ...]:
        return self._known[id(tensor)].parameters if id(tensor) in self._known else ()

    def _write(self, step: Step, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...]) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        for other in self._sharing[tensor.untyped_storage()._cdata]:
            if other.tensor is tensor:
                other.sees, other.parameters = sees, parameters
            elif _overlap(other.tensor, tensor):
                other.sees = _rewritten(step, other, tensor, sees)
                other.parameters += parameters


def _rewritten(step: Step, other: Known, tensor: Tensor, sees: Field | None) -> Field | None:
    """What a tensor sees once a view of it has been written to: exact where only channels were left out."""
    base, fields = other.tensor, [f for f in (sees, other.sees) if f is not None]
    if _layout(base) == _layout(tensor) or not fields:
        return sees
    why = f"{step.label} writes into a part of a feature map, whose outputs then see different places."
    lost = [f for f in fields if not f.axes]
    if not lost and base.ndim == 4 and _layout(base, but=1) == _layout(tensor, but=1):
        try:
            axes = [united(list(pair), base.shape) for pair in zip(*(f.axes for f in fields), strict=True)]
            axes = tuple(a._replace(steps=(a.steps[0], None, *a.steps[2:])) for a in axes)
            return Field(axes, fields[-1].why or why, all(f.pooled for f in fields))
        except NoField:
            pass
    return lost[-1] if lost else Field(why=why)


def _layout(tensor: Tensor, but: int | None = None) -> list[tuple[int, int]]:
    return [pair for d, pair in enumerate(zip(tensor.shape, tensor.stride(), strict=True)) if d != but]


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether the memory of two views may have addresses in common."""
    starts = [t.storage_offset() for t in (one, other)]
    ends = [t.storage_offset() + ops.span(t.shape, t.stride()) for t in (one, other)]
    return max(starts) <= min(ends)


def _pixels(image: Tensor, dim: int) -> Axis:
    """What the pixels of an image see along a dimension of it; what is no image has a single place."""
    if image.ndim != 4:
        return Axis(1, 0, 1, (0,) * image.ndim)
    return Axis(image.shape[dim], 0, 1, tuple(int(d == dim) for d in range(4)))


_ACTIVATIONS = ops.names("relu gelu silu hardtanh hardswish hardsigmoid sigmoid tanh add mul")


def _known_shape(op: ops.Operation, given: dict, tensors: list[Tensor]) -> Any:
    """The result where its shape is plain and no check can fail: torch takes up to 3 ms to find it."""
    (first, *others), name = tensors, op.name
    shape, shapes = tuple(first.shape), [tuple(t.shape) for t in others]
    if any(t.dtype != first.dtype for t in others):
        return None
    if name in _ACTIVATIONS and all(other == shape for other in shapes):
        return first if op.writes else _like(first)
    if name == "conv2d" and len(shape) == 4 and shapes[1:] in ([], [shapes[0][:1]]):
        kernels, groups = shapes[0], given["groups"]
        if shape[1] == kernels[1] * groups and kernels[0] % groups == 0:
            windows = zip(
                shape[2:], kernels[2:], given["stride"], given["padding"], given["dilation"], strict=True
            )
            return _empty(first, shape[0], kernels[0], *(output_size(*window) for window in windows))
    if name == "batch_norm" and shapes == [shape[1:2]] * 4 and not given["training"]:
        return _like(first)
    if name == "layer_norm" and shapes == [tuple(given["normalized_shape"])] * 2 == [shape[-1:]] * 2:
        return _like(first)
    if name == "linear" and shapes and shapes[0][1:] == shape[-1:] and shapes[1:] in ([], [shapes[0][:1]]):
        return _empty(first, *shape[:-1], shapes[0][0])
    return None


def _empty(tensor: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def _like(tensor: Tensor) -> Tensor:
    """A new tensor on the meta device, as `torch.empty_like` makes it in twenty times the time."""
    if (
        ops.span(tensor.shape, tensor.stride()) + 1 != tensor.numel()
    ):  # others share its values, or lie between
        return _empty(tensor, *tensor.shape)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _weightless(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device; whole numbers, which may be indices, keep their values."""
    whole = not (tensor.is_meta or tensor.is_floating_point() or tensor.is_complex())
    return tensor.clone() if whole else _like(tensor)


def _is_leaf(module: nn.Module) -> bool:
    """Whether torch knows this module as one layer (as `torch.fx` has it, and subclasses of such)."""
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):  # they hold layers that do the work
        return False
    kinds = [c for c in type(module).__mro__ if c is not nn.Module]
    from_torch = any(c.__module__.startswith("torch.nn.modules.") for c in kinds)
    alone = all(name == "parametrizations" for name, _ in module.named_children())
    return isinstance(module, nn.MultiheadAttention) or (from_torch and alone)


def _check_model(model: object) -> None:
    if isinstance(model, type):
        raise ValueError(f"model must be a network, not the class {model.__name__}: make one first.")
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, got {type(model).__name__}.")
    for name, module in model.named_modules():
        label = Step(name, type(module).__name__).label
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(f"{label} is a TorchScript module; give the original one.")
        if any(is_lazy(t) for t in (*module._parameters.values(), *module._buffers.values())):
            raise ValueError(f"{label} has no shape yet: run the model once on images first.")


def _named_bias(name: str) -> bool:
    return re.search(r"(^|_)bias(\d*|_.*)$", name.rpartition(".")[2]) is not None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)
