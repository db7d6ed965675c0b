"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

The model runs with weights that have shapes and no values. `Trace` names each module that it calls and each ATen
operation outside of layers, and notes what the operations do to fields, multiply-adds and parameters.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from course_utils.geometry import operations as ops
from course_utils.geometry.fields import Axis, Field, NoField, joined
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer


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
            raise ValueError(error.sentence) from error
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
        self.outputs: dict[str, Step] = {}
        self.overwritten: dict[int, tuple[Tensor, Tensor]] = {}  # what had values, and those before the run
        self._names = {id(module): name for name, module in model.named_modules()}
        self._place = ""  # the innermost module that is running and holds others
        self._step: Step | None = None  # the layer or operation that is running
        self._known: dict[int, Known] = {}
        self._sharing: dict[int, list[Known]] = defaultdict(list)  # by the memory that they share
        axes = [Axis(1, 0, 1, (0,) * image.ndim)] * 2  # what is no image has a single place
        if image.ndim == 4:
            axes = [Axis(image.shape[d], 0, 1, tuple(int(d == i) for i in range(4))) for d in (2, 3)]
        self._learn(image, Field(tuple(axes)))
        for name, parameter in model.named_parameters():
            self._learn(parameter, None, (name,))

    def called(self, call: Callable, module: nn.Module, args: tuple, kwargs: dict) -> Any:
        """A call of a module: a step unless it is a part of a layer that is one row."""
        name = self._names.get(id(module))
        if self._step or name is None:
            return call(module, *args, **kwargs)
        step = Step(name, type(module).__name__, module)
        return self._stepped(step, _is_leaf(module), call, (module, *args), kwargs)

    def _stepped(self, step: Step, is_one: bool, run: Callable, args: tuple, kwargs: dict) -> Any:
        """What a layer or operation computes, or a module that holds some; the innermost is to blame for an error."""
        given, outer = tensors_in((args, kwargs)), (self._place, self._step)
        shapes = [tuple(t.shape) for t in given if self._of(t).sees]
        made = any(self._of(t).parameters for t in given)
        step.tracked, step.in_shape = bool(shapes), (shapes or [tuple(t.shape) for t in given] or [()])[0]
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
        if is_one and not step.tracked and step.parameters and not made:
            step.tracked = True  # it works on constants with weights of its own
            self._learn(output)  # a constant to what follows, and no longer made of weights
        step.use = self.outputs[step.name].use + 1 if step.name in self.outputs else 1
        step.shape, step.sees = tuple(output.shape), self._of(output).sees
        self.outputs[step.name] = step
        if is_one and step.tracked and (step.module is not None or step.sees):
            self.steps.append(step)
        return result

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, op = kwargs or {}, ops.operation(func)
        written = op.writes and (dict(zip(op.arguments, args, strict=False)) | kwargs).get(op.writes)
        if isinstance(written, Tensor) and not written.is_meta:  # held where no twin was put, a slot or a set
            self.overwritten.setdefault(id(written), (written, written.clone()))
        known = [self._of(t) for t in tensors_in((args, kwargs))]
        if not op.is_view and all(k is _UNKNOWN for k in known):  # a constant, which has values
            device = {"device": self.device} if str(kwargs.get("device")) == "meta" else {}
            with torch.inference_mode(False), torch.no_grad():  # code may keep it, and train with it later
                return func(*args, **kwargs | device)
        if self._step or op.reads or not any(k.sees for k in known):
            return self._operate(func, op, args, kwargs)
        base, used = f"{self._place}.{op.name}".lstrip("."), {*self.outputs, *self._names.values()}
        name = next(name for name in chain([base], (f"{base}_{n}" for n in count(1))) if name not in used)
        return self._stepped(Step(name, op.name), True, self._operate, (func, op, args, kwargs), {})

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
        result = _computed(func, op, given, [t for _, t in tensors], args, kwargs)
        outputs = given[op.writes] if op.writes and not isinstance(result, tuple) else result
        step, names = self._step or Step("", op.name), () if seen else tuple(name for _, name in uses)
        for place, output in enumerate(tensors_in(outputs)):
            call = ops.Call(func, op, given, seen, output, place)
            if not place:
                _count(step, call, uses)
            sees = ops.field_of(call, step.label) if seen and op.name not in ops.CREATES else None
            (self._write if op.writes and not op.is_view else self._learn)(output, sees, names)
        return outputs if isinstance(result, Tensor) else result  # what was written to, not what stood for it

    def _of(self, tensor: Tensor) -> Known:
        return self._known.get(id(tensor), _UNKNOWN)

    def _learn(self, tensor: Tensor, sees: Field | None = None, parameters: tuple[str, ...] = ()) -> Known:
        known = self._known[id(tensor)] = Known(tensor, sees, parameters)
        self._sharing[tensor.untyped_storage()._cdata].append(known)
        return known

    def _write(self, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...]) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        low, high, layout = _memory(tensor)
        for other in self._sharing[tensor.untyped_storage()._cdata]:
            first, last, whole = _memory(other.tensor)
            if (first, whole) == (low, layout):
                other.sees, other.parameters = sees, parameters
            elif first <= high and low <= last and (sees or other.sees):
                channels = len(whole) == 4 and whole[:1] + whole[2:] == layout[:1] + layout[2:]
                other.sees = _mixed(self._step, other.sees, sees, other.tensor.shape if channels else ())
                other.parameters += parameters


def _memory(tensor: Tensor) -> tuple[int, int, list[tuple[int, int]]]:
    """The first and the last place in memory, counted in elements, and sizes and strides."""
    first, strides = tensor.storage_offset(), tensor.stride()
    return first, first + ops.span(tensor.shape, strides), list(zip(tensor.shape, strides, strict=True))


def _mixed(step: Step, old: Field | None, new: Field | None, shape: Shape) -> Field:
    """What a map of this shape sees once some channels of it were written to; no shape: another part of it."""
    why = f"{step.label} writes into a part of a feature map, whose outputs then see different places."
    try:
        pairs = [[(field and field.axes[i], shape) for field in (old, new)] for i in (0, 1) if shape]
        return Field(tuple(joined(pair, 1) for pair in pairs), why)
    except (NoField, IndexError):
        return Field(why=why)


_BIAS = re.compile(r"(^|[._])bias(\d*|_[^.]*)$")


def _count(step: Step, call: ops.Call, uses: list[tuple[str, str]]) -> None:
    name, macs = call.op.name, ops.macs_of(call)
    for argument, parameter in uses:
        added = argument == "bias" or (argument == "self" and name in ("addmm", "baddbmm"))
        scales = call.seen and (argument == "weight" or (name, len(uses)) == ("mul", 1))
        added |= not (scales or name in ops.MULTIPLIES) and bool(_BIAS.search(parameter))
        step.parameters[parameter] = step.parameters.get(parameter, True) and added
    step.macs += macs or 0
    if call.seen:
        step.tracked = True
        step.moves &= call.op.is_view or name in ops.MOVES
        step.uncounted = step.uncounted or (name if macs is None else "")
        step.pairs += ops.pairs_of(call)


def _computed(func, op: ops.Operation, given: dict, tensors: list[Tensor], args: tuple, kwargs: dict) -> Any:
    """The result of an operation, on the meta device if one of the tensors is there."""
    if op.name in ("convolution", "conv2d"):  # the meta device takes what others refuse
        for name, least in (("padding", 0), ("dilation", 1)):
            if min(given[name]) < least:
                raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
    if not any(t.is_meta for t in tensors):
        return func(*args, **kwargs)
    key = (
        None if op.is_view or (op.writes and not op.is_pointwise) else (id(func), *map(_key, given.values()))
    )
    if key in _RESULTS:
        return given[op.writes] if op.writes else torch.empty_strided(**_RESULTS[key])
    if "device" in kwargs:
        kwargs = kwargs | {"device": torch.device("meta")}
    args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
    result = func(*args, **kwargs)
    if key and isinstance(result, Tensor) and len(_RESULTS) < 10_000:
        how = {"size": result.shape, "stride": result.stride(), "dtype": result.dtype, "device": "meta"}
        _RESULTS[key] = how
    return result


_RESULTS: dict[tuple | None, dict[str, Any]] = {}  # torch takes up to 3 ms to find a shape


def _key(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    return tuple(map(_key, value)) if isinstance(value, list | tuple) else (value, type(value))


def _weightless(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device; whole numbers, which may be indices, keep their values."""
    whole = not (tensor.is_meta or tensor.is_floating_point() or tensor.is_complex())
    like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return tensor.clone() if whole else like


_HOLDERS = nn.Sequential, nn.ModuleList, nn.ModuleDict  # of the layers that do the work


def _is_leaf(module: nn.Module) -> bool:
    """Whether torch knows this module as one layer (as `torch.fx` has it, and subclasses of such)."""
    bases = [c for c in type(module).__mro__ if c.__module__.startswith("torch.nn.modules.")]
    holds = module._modules.keys() - {"parametrizations"} or isinstance(module, _HOLDERS)
    return (len(bases) > 1 and not holds) or isinstance(module, nn.MultiheadAttention)


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


def sentence(error: Exception, step: Step, given: Collection[Shape]) -> str:
    """What went wrong: which layer met it first, what that was given, the first line of the error."""
    text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ") or type(error).__name__
    if "meta" in text.lower() or "data-independent" in text or "data-dependent" in text:
        values = "what it computes depends on the values in its input, and only their shape is known"
        return f"{step.label} cannot be traced: {values}."
    return (
        f"{step.label} cannot take {' and '.join(str(shape[1:]) for shape in given) or 'its input'}: {text}."
    )


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for item in items for tensor in tensors_in(item)]
