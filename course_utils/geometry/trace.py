"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

A copy of the model runs whose weights have shapes and no values. Each module and each torch function that it
calls passes `Recorder`, which names the steps; each ATen operation that these are made of passes `Operations`,
which notes what it does. On real images, `Recorder` alone finds a layer's output.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from course_utils.geometry import operations as ops
from course_utils.geometry.copies import copied, undisturbed
from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, united
from course_utils.geometry.sizes import Shape, checked_integer


@dataclass
class Step:
    """One layer at work: a module that holds no others, or a function called outside one."""

    name: str
    function: str  # or the module's class
    module: nn.Module | None = None
    in_shape: Shape = ()
    output: "Output | None" = None
    tracked: bool = False  # the image flows into it
    parameters: dict[str, bool] = field(default_factory=dict)  # their names, and whether each is a bias
    moves: bool = True  # it only moves values
    macs: int = 0
    windows: int = 0
    uncounted: str = ""  # an operation whose multiply-adds are not known

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.function})" if self.name else f"The model ({self.function})"


class Output(NamedTuple):
    """What a module or function put out at its `use`-th use (from 1): its shape, and what it sees of the image."""

    use: int
    shape: Shape
    sees: Field | None


@dataclass
class Trace:
    """All steps in the order of computation; `outputs` has the last of each module (or step) by its name."""

    in_shape: Shape
    steps: list[Step]
    outputs: dict[str, Output]


def trace(model: nn.Module, input_shape: Shape) -> Trace:
    """Run a copy of the model in evaluation mode on one input of this shape, without values.

    Raises ValueError, naming the layer, where the model cannot take the input or needs its values.
    """
    _check_model(model)
    try:
        shape = tuple(checked_integer("", n, 1) for n in input_shape) or checked_integer("", None, 1)
    except (TypeError, ValueError):
        example = "positive integers such as (3, 224, 224), without the batch"
        raise ValueError(f"input_shape must be {example}, got {input_shape!r}.") from None
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    image = torch.empty(1, *shape, dtype=dtype, device="meta")
    with torch.no_grad(), undisturbed(model):
        with torch.inference_mode():
            twin = copied(model, _weightless)
        operations = Operations(twin, image, next(model.parameters(), torch.empty(0)).device)
        recorder = Recorder(twin, operations)
        with operations:
            recorder.run(image)
    return Trace(shape, recorder.steps, recorder.outputs)


class _Reached(BaseException):
    """The layer that the caller waits for has computed its output. No error, hence no Exception."""


def output_of(model: nn.Module, images: Tensor, layer: str, use: int) -> Tensor:
    """What `layer` puts out at its `use`-th use (from 1), for real images, in evaluation mode, of a copy."""

    def stop(name: str, uses: int, output: Tensor) -> None:
        if name == layer and uses == use:
            raise _Reached(output)

    try:
        Recorder(copied(model, Tensor.clone), Untracked(), stop).run(images)
    except _Reached as reached:
        return reached.args[0]
    raise ValueError(f"Layer {layer!r} is not computed for these images, unlike for the shape alone.")


def _weightless(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device; whole numbers, which may be indices, keep their values."""
    whole = not (tensor.is_meta or tensor.is_floating_point() or tensor.is_complex())
    return tensor.clone() if whole else _like(tensor)


@dataclass(eq=False)
class Known:
    """What is known of a tensor: what it sees of the image (None: nothing), and the parameters it is made of."""

    tensor: Tensor  # alive, else Python would give its id to another one
    sees: Field | None = None
    parameters: tuple[str, ...] = ()


class Untracked:
    """What the recorder asks where operations are not followed: the image is what has a gradient."""

    step: Step | None = None
    device: torch.device | None = None

    def sees(self, tensor: Tensor) -> Field | None:
        return Field() if tensor.requires_grad else None

    def parameters(self, tensor: Tensor) -> tuple[str, ...]:
        return ()


class Operations(TorchDispatchMode):
    """Follows fields, parameters and multiply-adds through all ATen operations."""

    def __init__(self, model: nn.Module, image: Tensor, device: torch.device):
        super().__init__()
        self.device = device  # the model's
        self.step: Step | None = None  # the layer or function that is running
        self.finish: Callable[[Step, Tensor], None]  # for a step of an operation that no function called
        self.known: dict[int, Known] = {}
        self.sharing: dict[int, list[Known]] = defaultdict(list)  # by the memory that they share
        self.learn(image, Field((_pixels(image, 2), _pixels(image, 3))))
        for name, parameter in model.named_parameters():
            self.learn(parameter, None, (name,))

    def learn(self, tensor: Tensor, sees: Field | None = None, parameters: tuple[str, ...] = ()) -> None:
        known = self.known[id(tensor)] = Known(tensor, sees, parameters)
        self.sharing[tensor.untyped_storage()._cdata].append(known)

    def sees(self, tensor: Tensor) -> Field | None:
        return self.known[id(tensor)].sees if id(tensor) in self.known else None

    def parameters(self, tensor: Tensor) -> tuple[str, ...]:
        return self.known[id(tensor)].parameters if id(tensor) in self.known else ()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        op = ops.operation(func)
        given = dict(zip(op.arguments, args, strict=False)) | kwargs
        tensors = [(name, t) for name, value in given.items() for t in tensors_in(value)]
        if not op.is_view and not any(id(t) in self.known for _, t in tensors):
            return func(*args, **kwargs)
        if op.is_composite:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        for _, t in tensors:
            if id(t) not in self.known:
                self.learn(t)
        found = [(name, t, self.known[id(t)]) for name, t in tensors]
        seen = [ops.Seen(name, t, t.shape, k.sees) for name, t, k in found if k.sees is not None]
        if op.name == "copy":  # forgets what it writes over
            seen = [t for t in seen if t.name == "src"]
        uses = [(name, p) for name, _, k in found if k.sees is None for p in k.parameters]
        result = self._run(func, op, given, [t for _, t in tensors], args, kwargs)
        if op.writes and isinstance(result, Tensor):
            result = given[op.writes]  # and not what stood for it
        if outputs := list(tensors_in(result)):
            self._note(ops.Call(func, op, given, seen, outputs[0]), outputs, uses)
        return result

    def _run(
        self, func, op: ops.Operation, given: dict, tensors: list[Tensor], args: tuple, kwargs: dict
    ) -> Any:
        if any(t.is_meta for t in tensors):
            if (result := _known_shape(op, given, tensors)) is not None:
                return result
            if "device" in kwargs:
                kwargs = kwargs | {"device": torch.device("meta")}
            if not all(t.is_meta for t in tensors):
                args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
        if op.name == "convolution":  # the meta device takes what others refuse
            for name, least in (("padding", 0), ("dilation", 1)):
                if min(given[name]) < least:
                    raise ValueError(f"{name} must be at least {least}, got {min(given[name])}")
        return func(*args, **kwargs)

    def _note(self, call: ops.Call, outputs: list[Tensor], uses: list[tuple[str, str]]) -> None:
        op, step = call.op, self.step or Step("", call.op.name.strip("_"))
        names = () if call.seen else tuple(dict.fromkeys(name for _, name in uses))
        self._count(step, call, uses)
        for place, output in enumerate(outputs):
            sees = None
            if call.seen and op.name not in ops.CREATES:
                sees = self._field(step, replace(call, out=output, place=place))
            if op.writes and not op.is_view:
                self._write(step, output, sees, names)
            else:
                self.learn(output, sees, names)
        if self.step is None and self.sees(outputs[0]):
            step.in_shape = call.seen[0].shape
            self.finish(step, outputs[0])

    def _count(self, step: Step, call: ops.Call, uses: list[tuple[str, str]]) -> None:
        name, macs = call.op.name, ops.macs_of(call)
        for argument, parameter in uses:
            added = argument == "bias" or (argument == "self" and name in ("addmm", "baddbmm", "addmv"))
            added |= name not in ops.MULTIPLIES and _named_bias(parameter)
            step.parameters[parameter] = step.parameters.get(parameter, True) and added
        step.macs += macs or 0
        if call.seen:
            step.tracked = True
            step.moves &= call.op.is_view or name in ("_unsafe_view", "clone", "_to_copy")
            step.uncounted = step.uncounted or (name.strip("_") if macs is None else "")
            step.windows += ops.windows_of(call)

    def _field(self, step: Step, call: ops.Call) -> Field:
        lost = next((t.field for t in call.seen if not t.field.axes), None)
        if lost is not None:
            return lost
        try:
            sees = ops.field_of(call)
        except NoField as reason:
            return Field(why=f"{step.label} {reason}")
        loose = any(axis.loose for axis in sees.axes)
        return replace(sees, why=f"{step.label} {SCATTERED}") if loose and not sees.why else sees

    def _write(self, step: Step, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...]) -> None:
        """A tensor changes in place, and with it all that shares its memory."""
        for other in self.sharing[tensor.untyped_storage()._cdata]:
            if other.tensor is tensor:
                other.sees, other.parameters = sees, parameters
            elif _overlap(other.tensor, tensor):
                other.sees = _rewritten(step, other, tensor, sees)
                other.parameters += parameters


def _rewritten(step: Step, other: Known, tensor: Tensor, sees: Field | None) -> Field | None:
    """What a tensor sees once a view of it has been written to: exact where only channels were left out."""
    base, fields = other.tensor, [f for f in (sees, other.sees) if f is not None]
    lost = [f for f in fields if not f.axes]
    if sees is None or lost:
        return lost[-1] if lost else other.sees
    if _layout(base) == _layout(tensor):
        return sees
    if base.ndim == 4 and _layout(base, but=1) == _layout(tensor, but=1):
        try:
            axes = [united(list(pair), base.shape) for pair in zip(*(f.axes for f in fields), strict=True)]
            axes = tuple(replace(axis, loose=axis.loose | {1}) for axis in axes)
            return Field(axes, "", all(f.pooled for f in fields))
        except NoField:
            pass
    return Field(
        why=f"{step.label} writes into a part of a feature map, whose outputs then see different places."
    )


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
        return Axis(1, 0, 1, (0,) * image.ndim, flat=True)
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
    if name == "native_batch_norm" and shapes == [shape[1:2]] * 4 and not given["training"]:
        return _like(first), _empty(first, 0), _empty(first, 0)
    if name == "native_layer_norm" and shapes == [tuple(given["normalized_shape"])] * 2 == [shape[-1:]] * 2:
        return _like(first), _empty(first, *shape[:-1], 1), _empty(first, *shape[:-1], 1)
    if name == "linear" and shapes and shapes[0][1:] == shape[-1:] and shapes[1:] in ([], [shapes[0][:1]]):
        return _empty(first, *shape[:-1], shapes[0][0])
    return None


def _empty(tensor: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def _like(tensor: Tensor) -> Tensor:
    """A new tensor on the meta device, as `torch.empty_like` makes it in twenty times the time."""
    if (
        ops.span(tensor.shape, tensor.stride()) + 1 != tensor.numel()
    ):  # others share its values, or lie between them
        return _empty(tensor, *tensor.shape)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


class Recorder(TorchFunctionMode):
    """Notes what runs while it is active, under the names of `model.named_modules()`."""

    def __init__(
        self,
        model: nn.Module,
        operations: Operations | Untracked,
        watch: Callable[[str, int, Tensor], None] = lambda name, use, output: None,
    ):
        super().__init__()
        self.model, self.operations, self.watch = model, operations, watch
        self.steps: list[Step] = []
        self.outputs: dict[str, Output] = {}
        self._place = ""  # the innermost module that is running and holds others
        self._modules = dict(model.named_modules())
        operations.finish = self._finish

    def run(self, images: Tensor) -> None:
        for name, module in self._modules.items():
            module.__dict__["forward"] = self._watched(name, module)
            if module._forward_hooks:  # they may change what it puts out
                module.register_forward_hook(lambda _, given, output, name=name: self._put_out(name, output))
        try:
            with self:
                self.model(images)
        except Exception as error:
            self._blame(error, Step("", type(self.model).__name__), [])
            raise ValueError(error.sentence) from error

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, _function_name(func)
        if self.operations.step is not None or name in _PROPERTIES:
            return func(*args, **kwargs)
        if name == "device":  # a constant made there has values, and may be kept for the next image
            return self.operations.device or func(*args, **kwargs)
        if name in ("__getitem__", "__setitem__"):  # a list would lose its values on the meta device
            args = (args[0], _with_tensors(args[1]), *args[2:])
        function = _plain(name)
        step = Step(self._free_name(function), function)
        result = self._ran(step, True, func, args, kwargs)
        output = args[0] if name == "__setitem__" else next(tensors_in(result), None)
        runs = step.tracked or function == "dropout" or isinstance(self.operations, Untracked)
        if runs and output is not None and self.operations.sees(output):
            self._finish(step, output)
        return result

    def _watched(self, name: str, module: nn.Module) -> Callable:
        """The module's forward, and a note when it begins and ends."""
        forward, leaf = module.forward, _is_leaf(module)
        makes_weights = "parametrizations" in name.split(".")  # from weights, which is not its layer's work

        @functools.wraps(forward)
        def watched(*args, **kwargs):
            inside = self.operations.step is not None  # a layer that is one row already
            if inside and not makes_weights:
                return forward(*args, **kwargs)
            step = Step(name, type(module).__name__, module)
            output = self._ran(step, leaf or inside, forward, args, kwargs)
            if leaf and not inside and self._is_row(step, output, (args, kwargs)):
                self._finish(step, output)
            elif not inside:
                self._put_out(name, output, True)
            return output

        return watched

    def _ran(self, step: Step, is_one: bool, run: Callable, args: tuple, kwargs: dict) -> Any:
        """What a layer or function computes, or a module that holds some; the innermost is to blame for an error."""
        place, outer = self._place, self.operations.step
        given = list(tensors_in((args, kwargs)))
        shapes = [tuple(t.shape) for t in given if self.operations.sees(t)] or [tuple(t.shape) for t in given]
        step.in_shape = shapes[0] if shapes else ()
        # In inference mode composite operations come whole. Constants are made outside, since they may be kept.
        whole = is_one and any(t.is_meta or t.is_inference() for t in given)
        self._place, self.operations.step = (place, step) if is_one else (step.name, None)
        try:
            with torch.inference_mode() if whole else nullcontext():
                return run(*args, **kwargs)
        except Exception as error:
            if step.function not in _READS:  # else the module that decides by a value is to blame
                self._blame(error, step, shapes)
            raise
        finally:
            self._place, self.operations.step = place, outer

    def _finish(self, step: Step, output: Any) -> None:
        if not step.name and step.module is None:  # no function called it, but a scripted one, say
            step.name = self._free_name(step.function)
        self.steps.append(step)
        self._put_out(step.name, output, True)
        step.output = self.outputs[step.name]

    def _put_out(self, name: str, output: Any, new: bool = False) -> None:
        """A layer or a container is done."""
        for tensor in list(tensors_in(output))[:1]:
            use = (self.outputs[name].use if name in self.outputs else 0) + new
            self.outputs[name] = Output(use, tuple(tensor.shape), self.operations.sees(tensor))
            self.watch(name, use, tensor)

    def _is_row(self, step: Step, output: Any, given: Any) -> bool:
        """Whether a layer works on the image, or with weights of its own on constants (and not on other weights)."""
        tensor = next(tensors_in(output), None)
        if tensor is None or step.tracked or self.operations.sees(tensor):
            return tensor is not None
        if not step.parameters or any(map(self.operations.parameters, tensors_in(given))):
            return False
        self.operations.learn(tensor)  # a constant to what follows, and no longer made of weights
        return True

    def _free_name(self, function: str) -> str:
        """The function's name behind its module's, numbered from the second on."""
        base = name = f"{self._place}.{function}".lstrip(".")
        number = 0
        while name in self._modules or name in self.outputs:
            number += 1
            name = f"{base}_{number}"
        return name

    def _blame(self, error: Exception, step: Step, given: list[Shape]) -> None:
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


_PROPERTIES = {"shape", "dtype", "is_meta", "ndim", "size", "dim", "requires_grad", "layout", "__len__"}
_READS = {"bool", "int", "float", "complex", "index", "contains", "array", "item", "tolist", "numpy"}


def _function_name(func: Callable) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    return func.__self__.__name__ if name in ("__get__", "__set__") else name  # a property such as x.T


def _plain(function: str) -> str:
    """`add` for `add_`, `__add__`, `__radd__` and `__iadd__`, `relu` for `relu.default`."""
    name = function.partition(".")[0]
    name = re.sub(r"^__[ri](add|sub|mul|truediv|div|matmul|pow|floordiv)__$", r"\1", name).strip("_")
    return "div" if name == "truediv" else name


def _with_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_with_tensors, index))
    return torch.tensor(index) if isinstance(index, list) and index else index


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)
