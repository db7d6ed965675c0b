"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

A copy of the model runs whose weights have shapes and no values. Each module and each torch function that it
calls passes `Recorder`, which names the steps; each ATen operation that these are made of passes `Operations`,
which notes what it does. On real images, `Recorder` alone finds a layer's output.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course_utils.geometry.copies import copied, undisturbed
from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, Unknown, united
from course_utils.geometry.operations import (
    CREATES,
    Call,
    Operation,
    Seen,
    field_of,
    macs_of,
    operation,
    windows_of,
)
from course_utils.geometry.sizes import Shape, checked_integer

# They hold layers or nothing: what they compute is in the layers that they call.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass
class Step:
    """One layer at work: a module that holds no others, or a function called outside one."""

    name: str
    function: str  # or the module's class
    module: nn.Module | None
    in_shape: Shape = ()
    out_shape: Shape = ()
    sees: Field | Unknown | None = None
    use: int = 1  # a module that is used again makes another step
    tracked: bool = False  # the image flows into it
    parameters: dict[str, bool] = field(default_factory=dict)  # names, and whether each is a bias
    idle: dict[str, bool] = field(default_factory=dict)  # those that work on constants
    moves: bool = True  # it only moves values
    macs: int = 0
    windows: int = 0
    uncounted: str = ""

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.function})" if self.name else f"The model ({self.function})"


@dataclass
class Trace:
    """All steps in the order of computation; `outputs` has each module's (or step's) last shape and field."""

    in_shape: Shape
    steps: list[Step]
    outputs: dict[str, tuple[Shape, Field | Unknown | None]]
    uses: Counter[str]  # how often each of them ran


class _Reached(BaseException):
    """The layer that the caller waits for has computed its output. No error, hence no Exception."""

    def __init__(self, output: Tensor):
        self.output = output


def trace(model: nn.Module, input_shape: Shape) -> Trace:
    """Run a copy of the model in evaluation mode on one input of this shape, without values.

    Raises ValueError, naming the layer, where the model cannot take the input or needs its values.
    """
    _check_model(model)
    shape = checked_shape(input_shape)
    first = next(iter((*model.parameters(), *model.buffers())), torch.empty(0))
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    image = torch.empty(1, *shape, dtype=dtype, device="meta")
    with torch.no_grad(), undisturbed(model):
        with torch.inference_mode():
            twin = copied(model, _weightless)
        operations = Operations(twin, image)
        recorder = Recorder(twin, operations, device=first.device)
        with operations:
            recorder.run(image)
    return Trace(shape, recorder.steps, recorder.outputs, recorder.uses)


def output_of(model: nn.Module, images: Tensor, layer: str, use: int) -> Tensor:
    """What `layer` puts out at its `use`-th use (from 1), for real images, in evaluation mode, of a copy."""

    def stop(name: str, uses: int, output: Tensor) -> None:
        if name == layer and uses == use:
            raise _Reached(output)

    try:
        Recorder(copied(model, Tensor.clone), None, watch=stop).run(images)
    except _Reached as reached:
        return reached.output
    raise ValueError(f"Layer {layer!r} is not computed for these images, unlike for the shape alone.")


def _weightless(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device; whole numbers, which may be indices, keep their values."""
    whole = not (tensor.is_meta or tensor.is_floating_point() or tensor.is_complex())
    return tensor.clone() if whole else torch.empty_like(tensor, device="meta")


@dataclass(eq=False)
class Known:
    """What is known of a tensor: what it sees of the image (None: nothing), and the parameters it is made of."""

    tensor: Tensor  # alive, else Python would give its id to another one
    sees: Field | Unknown | None = None
    parameters: tuple[str, ...] = ()
    family: list["Known"] = field(default_factory=list)  # all views of the same memory


class Operations(TorchDispatchMode):
    """Follows fields, parameters and multiply-adds through all ATen operations."""

    def __init__(self, model: nn.Module, image: Tensor):
        super().__init__()
        self.step: Step | None = None
        self.finish: Callable[[Step, Tensor], None] = lambda step, output: None
        self.known: dict[int, Known] = {}
        self.biases: set[str] = set()  # the names of parameters that torch was given as such
        self._metas: dict[int, Tensor] = {}  # what stands for real tensors
        self.learn(image, Field((_pixels(image, -2), _pixels(image, -1))))
        for name, parameter in model.named_parameters():
            self.learn(parameter, None, (name,))

    def learn(self, tensor: Tensor, sees: Field | Unknown | None, parameters: tuple[str, ...] = ()) -> Known:
        known = self.known.get(id(tensor))
        if known is None:
            known = self.known[id(tensor)] = Known(tensor)
            known.family.append(known)
        known.sees, known.parameters = sees, parameters
        return known

    def sees(self, tensor: Tensor) -> Field | Unknown | None:
        return self.known[id(tensor)].sees if id(tensor) in self.known else None

    def parameters(self, tensor: Tensor) -> tuple[str, ...]:
        return self.known[id(tensor)].parameters if id(tensor) in self.known else ()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        op = operation(func)
        given = dict(zip(op.arguments, args, strict=False)) | kwargs
        tensors = [(name, t) for name, value in given.items() for t in tensors_in(value)]
        if not op.is_view and not any(id(t) in self.known for _, t in tensors):
            return func(*args, **kwargs)
        if op.is_composite:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        seen = [Seen(name, t, t.shape, self.sees(t)) for name, t in tensors if self.sees(t) is not None]
        if op.name == "copy":  # forgets what it writes over
            seen = [t for t in seen if t.name == "src"]
        result = self._run(func, op, given, tensors, args, kwargs)
        if len(op.writes) == 1 and isinstance(result, Tensor):
            result = given[op.writes[0]]  # and not what stood for it
        self._note(func, op, given, tensors, seen, result)
        return result

    def _run(self, func, op: Operation, given: dict, tensors: list, args: tuple, kwargs: dict) -> Any:
        if any(t.is_meta for _, t in tensors):
            if (result := _same_shape(op, given, [t for _, t in tensors])) is not None:
                return result
            kwargs = kwargs | ({"device": torch.device("meta")} if "device" in kwargs else {})
            args, kwargs = map_tensors(self._meta, (args, kwargs))
        if op.name == "convolution":  # the meta device takes what others refuse
            for name, least in (("padding", 0), ("dilation", 1)):
                if min(given[name]) < least:
                    raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
        return func(*args, **kwargs)

    def on_one_device(self, arguments: Any) -> Any:
        """Arguments without a mixture of devices, which some functions refuse; indices keep their values."""
        if len({t.is_meta for t in tensors_in(arguments)}) < 2:
            return arguments
        return map_tensors(lambda t: self._meta(t) if t.is_floating_point() else t, arguments)

    def _meta(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._metas:
            self._metas[id(tensor)] = twin = torch.empty_like(tensor, device="meta")
            self.known[id(twin)] = self.known.get(id(tensor)) or self.learn(tensor, None)
        return self._metas[id(tensor)]

    def _note(self, func, op: Operation, given: dict, tensors: list, seen: list[Seen], result: Any) -> None:
        outputs = list(tensors_in(result))
        if not outputs:
            return
        step = self.step or Step("", op.name.strip("_"), None)
        uses = [
            (argument, name) for argument, t in tensors if self.sees(t) is None for name in self.parameters(t)
        ]
        names = () if seen else tuple(dict.fromkeys(name for _, name in uses))
        if tensors:
            self._count(step, Call(func, op, given, seen, outputs[0]), uses)
        sees = None
        for place, output in enumerate(outputs):
            if seen and op.name not in CREATES:
                sees = self._field(step, Call(func, op, given, seen, output, place))
            if op.writes and not op.is_view:
                self._write(output, sees, names)
            elif op.is_view or sees is not None or names:
                base = (
                    (self.known.get(id(tensors[0][1])) or self.learn(tensors[0][1], None))
                    if op.is_view
                    else None
                )
                known = self.learn(output, sees, names)
                if base is not None and known is not base:
                    known.family = base.family
                    known.family.append(known)
        if self.step is None and sees is not None:
            step.in_shape = seen[0].shape
            self.finish(step, outputs[0])

    def _count(self, step: Step, call: Call, uses: list[tuple[str, str]]) -> None:
        macs, parameters = macs_of(call), step.parameters if call.seen else step.idle
        for argument, name in uses:
            added = argument == "bias" or call.op.name == "addmm" or name in self.biases or _named_bias(name)
            parameters[name] = (
                parameters.get(name, True) and added and (call.op.name, argument) not in _FACTORS
            )
        step.macs += macs or 0
        if call.seen:
            step.tracked = True
            step.moves &= call.op.is_view or call.op.name in ("_unsafe_view", "clone", "_to_copy")
            step.uncounted = step.uncounted or (call.op.name.strip("_") if macs is None else "")
            step.windows += windows_of(call)

    def _field(self, step: Step, call: Call) -> Field | Unknown:
        unknown = next((t.field for t in call.seen if isinstance(t.field, Unknown)), None)
        if unknown is not None:
            return unknown
        try:
            if call.place and not call.op.is_view:
                raise NoField(f"computes {call.op.name}, of which only the first result is followed.")
            field = field_of(call)
        except NoField as reason:
            return Unknown(f"{step.label} {reason}")
        loose = any(axis.loose for axis in field.axes)
        return replace(field, why=f"{step.label} {SCATTERED}") if loose and not field.why else field

    def _write(self, tensor: Tensor, sees: Field | Unknown | None, parameters: tuple[str, ...]) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        known = self.known.get(id(tensor)) or self.learn(tensor, None)
        for other in known.family:
            if other is not known and _overlap(other.tensor, tensor):
                other.sees = self._rewritten(other, tensor, sees)
                other.parameters = tuple(dict.fromkeys((*other.parameters, *parameters)))
        known.sees, known.parameters = sees, parameters

    def _rewritten(
        self, other: Known, tensor: Tensor, sees: Field | Unknown | None
    ) -> Field | Unknown | None:
        """What a tensor sees once a view of it has been written to: exact where only channels were left out."""
        base, fields = other.tensor, [f for f in (sees, other.sees) if f is not None]
        if sees is None or any(isinstance(f, Unknown) for f in fields):
            return other.sees if sees is None or isinstance(other.sees, Unknown) else sees
        if _layout(base) == _layout(tensor):
            return sees
        if base.ndim == 4 and _layout(base, but=1) == _layout(tensor, but=1):
            try:
                axes = [
                    united(list(pair), base.shape) for pair in zip(*(f.axes for f in fields), strict=True)
                ]
                axes = [replace(axis, loose=axis.loose | {1}) for axis in axes]
                return Field(tuple(axes), all(f.pooled for f in fields))
            except NoField:
                pass
        where = self.step.label if self.step else "The model"
        return Unknown(
            f"{where} writes into a part of a feature map, whose outputs then see different places."
        )


def _pixels(image: Tensor, dim: int) -> Axis:
    """What the pixels of an image see along a dimension of it; what is no image has a single place."""
    if image.ndim != 4:
        return Axis(1, 0, 1, (0,) * image.ndim, flat=True)
    return Axis(image.shape[dim], 0, 1, tuple(int(d == dim % 4) for d in range(4)))


_FACTORS = {
    ("convolution", "weight"),
    ("addmm", "mat2"),
    ("linear", "weight"),
    ("matmul", "other"),
    ("mm", "mat2"),
}


def _layout(tensor: Tensor, but: int | None = None) -> list[tuple[int, int]]:
    return [pair for d, pair in enumerate(zip(tensor.shape, tensor.stride(), strict=True)) if d != but]


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether the memory of two views may have addresses in common."""
    (start, end), (other_start, other_end) = (
        (t.storage_offset(), t.storage_offset() + sum((n - 1) * step for n, step in _layout(t)))
        for t in (one, other)
    )
    return start <= other_end and other_start <= end


class Recorder(TorchFunctionMode):
    """Notes what runs while it is active, under the names of `model.named_modules()`."""

    def __init__(
        self,
        model: nn.Module,
        operations: Operations | None,
        device: torch.device | None = None,
        watch: Callable[[str, int, Tensor], None] | None = None,
    ):
        super().__init__()
        self.model, self.operations, self.device, self.watch = model, operations, device, watch
        self.steps: list[Step] = []
        self.outputs: dict[str, tuple[Shape, Field | Unknown | None]] = {}
        self.uses: Counter[str] = Counter()
        self._place = ""  # the innermost module that is running and holds others
        self._step: Step | None = None  # the layer or function that is running
        self._failure: tuple[Exception, str] | None = None
        self._modules = dict(model.named_modules())
        if operations:
            operations.finish = self._finish_lone

    def run(self, images: Tensor) -> None:
        for name, module in self._modules.items():
            module.__dict__["forward"] = self._watched(name, module)
            if module._forward_hooks:  # they may change what it puts out
                module.register_forward_hook(lambda _, given, output, name=name: self._put_out(name, output))
        try:
            with self:
                self.model(images)
        except Exception as error:
            self._blame(error, _label("", self.model), [])
            raise ValueError(self._failure[1]) from error

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._step is not None:
            return func(*args, **kwargs)
        name = _function_name(func)
        if name == "device" and self.device is not None:
            return self.device  # a constant made there has values, and may be kept for the next image
        if name in _PROPERTIES:
            return func(*args, **kwargs)
        if name in ("__getitem__", "__setitem__"):  # a list would lose its values on the meta device
            args = (args[0], _with_tensors(args[1]), *args[2:])
        if self.operations and not _changes_in_place(name):
            args, kwargs = self.operations.on_one_device((args, kwargs))
        function = _plain(name)
        if self.operations and (function == "linear" or function.startswith("conv")):
            for bias in tensors_in(kwargs.get("bias", args[2:3])):
                self.operations.biases.update(self.operations.parameters(bias))
        step = self._open(Step(self._free_name(function), function, None))
        whole = any(t.is_meta or t.is_inference() for t in tensors_in((args, kwargs)))
        try:
            with torch.inference_mode() if whole else nullcontext():  # composite operations come whole
                result = func(*args, **kwargs)
        except Exception as error:
            if function not in _READS:  # else the module that decides by a value is to blame
                self._blame(error, step.label, self._shapes((args, kwargs)))
            raise
        finally:
            self._open(None)
        output = args[0] if name == "__setitem__" else next(tensors_in(result), None)
        if (
            output is not None
            and self._is_tracked(output)
            and (step.tracked or function == "dropout" or not self.operations)
        ):
            step.in_shape = next(iter(self._shapes((args, kwargs))), ())
            self._finish(step, output)
        return result

    def _open(self, step: Step | None) -> Step | None:
        self._step = step
        if self.operations:
            self.operations.step = step
        return step

    def _is_tracked(self, tensor: Tensor) -> bool:
        return self.operations.sees(tensor) is not None if self.operations else tensor.requires_grad

    def _shapes(self, value: Any) -> list[Shape]:
        """Shapes of the tensors that come from the image."""
        return [tuple(t.shape) for t in tensors_in(value) if self._is_tracked(t)]

    def _finish_lone(self, step: Step, output: Tensor) -> None:
        """An operation that no torch function called, such as those of a scripted function."""
        step.name = self._free_name(step.function)
        self._finish(step, output)

    def _finish(self, step: Step, output: Tensor) -> None:
        step.out_shape, step.use = tuple(output.shape), self.uses[step.name] + 1
        self.steps.append(step)
        self._put_out(step.name, output, True)
        step.sees = self.outputs[step.name][1]

    def _put_out(self, name: str, output: Any, new: bool = False) -> None:
        """A layer or a container is done."""
        tensor = next(tensors_in(output), None)
        if tensor is None:
            return
        self.uses[name] += new
        self.outputs[name] = (tuple(tensor.shape), self.operations.sees(tensor) if self.operations else None)
        if self.watch:
            self.watch(name, self.uses[name], tensor)

    def _watched(self, name: str, module: nn.Module) -> Callable:
        """The module's forward, and a note when it begins and ends."""
        forward, leaf = module.forward, _is_leaf(module)

        @functools.wraps(forward)
        def watched(*args, **kwargs):
            if self._step is not None:  # inside a layer that is one row already
                return self._inside(name, forward, args, kwargs)
            place, self._place = self._place, name
            shapes = self._shapes((args, kwargs)) or [tuple(t.shape) for t in tensors_in((args, kwargs))]
            if leaf and self.operations:
                args, kwargs = self.operations.on_one_device((args, kwargs))
            step = self._open(Step(name, type(module).__name__, module)) if leaf else None
            try:
                with torch.inference_mode() if leaf and self.operations else nullcontext():
                    output = forward(*args, **kwargs)
            except Exception as error:
                self._blame(error, _label(name, module), shapes)
                raise
            finally:
                self._place = place
                self._open(None)
            tensor = next(tensors_in(output), None)
            if step is not None and tensor is not None and self._is_row(step, tensor, (args, kwargs)):
                step.in_shape = next(iter(shapes), ())
                self._finish(step, tensor)
            else:
                self._put_out(name, output, True)
            return output

        return watched

    def _inside(self, name: str, forward: Callable, args: tuple, kwargs: dict) -> Any:
        layer = self._step
        if "parametrizations" in name.split("."):  # makes weights from weights, which is not the layer's work
            self._open(Step(name, "", None))
        try:
            return forward(*args, **kwargs)
        finally:
            self._open(layer)

    def _is_row(self, step: Step, output: Tensor, given: Any) -> bool:
        """Whether a layer works on the image, or with weights of its own on constants (and not on other weights)."""
        if step.tracked or self._is_tracked(output):
            return True
        if not step.idle or any(map(self.operations.parameters, tensors_in(given))):
            return False
        step.parameters = step.idle
        self.operations.learn(output, None)
        return True

    def _free_name(self, function: str) -> str:
        """The function's name behind its module's, numbered from the second on."""
        base = f"{self._place}.{function}".lstrip(".")
        name, number = base, 0
        while name in self._modules or name in self.outputs:
            number += 1
            name = f"{base}_{number}"
        return name

    def _blame(self, error: Exception, layer: str, given: list[Shape]) -> None:
        """Remember the sentence of whoever met the error first: the innermost layer."""
        if self._failure is None or self._failure[0] is not error:
            self._failure = (error, _complaint(layer, given, error))


def _same_shape(op: Operation, given: dict, tensors: list[Tensor]) -> Any:
    """The result where it is as its first argument and no check can fail: torch takes up to 2 ms to find it."""
    first, *others = tensors
    if op.name in _ACTIVATIONS and all(t.shape == first.shape and t.dtype == first.dtype for t in others):
        return first if op.writes else torch.empty_like(first, device="meta")
    stored = op.name == "native_batch_norm" and len(others) == 4 and not given["training"]
    if stored and all(t.shape == first.shape[1:2] for t in others):
        return torch.empty_like(first, device="meta"), first.new_empty(0), first.new_empty(0)
    return None


_ACTIVATIONS = {
    "relu",
    "gelu",
    "silu",
    "hardtanh",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "add",
    "mul",
}


def _is_leaf(module: nn.Module) -> bool:
    """Whether torch knows this module as one layer (as `torch.fx` has it, and subclasses of such)."""
    if isinstance(module, _CONTAINERS):
        return False
    if isinstance(module, nn.MultiheadAttention):
        return True
    kinds = [c for c in type(module).__mro__ if c is not nn.Module]
    from_torch = any(c.__module__.startswith("torch.nn.modules.") for c in kinds)
    return from_torch and all(name == "parametrizations" for name, _ in module.named_children())


def _check_model(model: object) -> None:
    if isinstance(model, type):
        raise ValueError(f"model must be a network, not the class {model.__name__}: make one first.")
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, got {type(model).__name__}.")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(f"{_label(name, module)} is a TorchScript module; give the original one.")
        if any(is_lazy(t) for t in (*module._parameters.values(), *module._buffers.values())):
            raise ValueError(f"{_label(name, module)} has no shape yet: run the model once on images first.")


def checked_shape(input_shape: Shape) -> Shape:
    try:
        return tuple(checked_integer("", n, 1) for n in input_shape) or checked_integer("", None, 1)
    except (TypeError, ValueError):
        raise ValueError(
            f"input_shape must be positive integers such as (3, 224, 224), without the batch, got {input_shape!r}."
        ) from None


def _label(name: str, module: nn.Module) -> str:
    return Step(name, type(module).__name__, module).label


_VALUES = "what it computes depends on the values in its input, and only their shape is known."


def _complaint(layer: str, given: list[Shape], error: Exception) -> str:
    """One sentence: which layer, what it was given, and the first line of the error."""
    text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ")
    if "meta" in text.lower() or "data-independent" in text or "data-dependent" in text:
        return f"{layer} cannot be traced: {_VALUES}"
    shapes = " and ".join(str(shape[1:]) for shape in given) or "its input"
    return f"{layer} cannot take {shapes}: {text or type(error).__name__}."


def _named_bias(name: str) -> bool:
    return re.search(r"(^|_)bias(\d*|_.*)$", name.rpartition(".")[2]) is not None


def _function_name(func: Callable) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    return func.__self__.__name__ if name in ("__get__", "__set__") else name  # a property such as x.T


def _plain(function: str) -> str:
    """`add` for `add_`, `__add__`, `__radd__` and `__iadd__`, `relu` for `relu.default`."""
    name = function.partition(".")[0].strip("_")
    if function.startswith("__") and name[1:] in _OPERATORS and name[0] in "ri":
        name = name[1:]
    return {"truediv": "div"}.get(name, name)


def _with_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_with_tensors, index))
    return torch.tensor(index) if isinstance(index, list) and index else index


def _changes_in_place(name: str) -> bool:
    return (
        name == "__setitem__"
        or (name.startswith("__i") and _plain(name) in _OPERATORS)
        or name[-1] == "_" != name[-2]
    )


_PROPERTIES = {
    "shape",
    "dtype",
    "is_meta",
    "ndim",
    "size",
    "dim",
    "requires_grad",
    "device",
    "layout",
    "__len__",
}
_READS = {"bool", "int", "float", "complex", "index", "contains", "array", "item", "tolist", "numpy"}
_OPERATORS = {"add", "sub", "mul", "truediv", "div", "matmul", "pow", "floordiv"}


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def map_tensors(change: Callable, value: Any) -> Any:
    """`value` with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        items = [map_tensors(change, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: map_tensors(change, item) for key, item in value.items()}
    return value
