"""A model run once on torch's meta device: what it computes, layer by layer, without computing it.

Every torch function that the model calls passes a `TorchFunctionMode`, which notes its name, its
settings and the shapes of its tensors. Weights are replaced by tensors of the same shape without
memory, so the size of the model does not matter.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from course_utils.geometry.sizes import Shape

# They hold layers or nothing: what they compute is in the layers that they call.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_NEEDS_VALUES = {"item", "tolist", "numpy", "nonzero", "masked_select", "unique", "is_nonzero", "equal"}
_NEEDS_VALUES |= {"__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "__array__"}
# Their result has the shape of their input and nothing else of it.
_CREATES = {f"{value}_like" for value in ("zeros", "ones", "empty", "full", "rand", "randn")}
_CREATES |= {f"new_{value}" for value in ("zeros", "ones", "empty", "full", "tensor")}


@dataclass(frozen=True)
class Ref:
    """A tensor that passed by: which one, its shape, and its name if it is a parameter of the model."""

    key: int
    shape: Shape
    parameter: str | None = None

    @property
    def numel(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Call:
    """One call of a torch function, its tensors as `Ref`s."""

    function: str
    args: tuple
    kwargs: dict[str, Any]
    outputs: tuple[Ref, ...]

    def bind(self, names: str, **defaults: Any) -> dict[str, Any]:
        """The arguments by name; `names` are the function's, in order."""
        return defaults | dict(zip(names.split(), self.args, strict=False)) | self.kwargs

    @property
    def inputs(self) -> list[Ref]:
        return [leaf for leaf in _leaves((self.args, self.kwargs)) if isinstance(leaf, Ref)]


@dataclass
class Step:
    """One layer at work: a module that holds no others, or a function called outside one."""

    name: str
    type: str
    is_module: bool
    inputs: list[Ref]
    output: Ref | None = None
    use: int = 1  # a module that is used again makes another step
    calls: list[Call] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"Layer {self.name!r} ({self.type})" if self.name else f"The model ({self.type})"


@dataclass
class Trace:
    """All steps in the order of computation; `outputs` has each module's (or step's) last output."""

    input: Ref
    steps: list[Step]
    outputs: dict[str, Ref]
    uses: Counter[str]  # how often each of them ran


class _Reached(BaseException):
    """The layer that the caller waits for has computed its output. No error, hence no Exception."""

    def __init__(self, output: Tensor):
        self.output = output


def trace(model: nn.Module, input_shape: Shape) -> Trace:
    """Run the model in evaluation mode on one input of this shape, without values.

    Raises ValueError, naming the layer, where the model cannot take the input or needs its values.
    """
    shape = _checked_shape(input_shape)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    image = torch.empty(1, *shape, dtype=dtype, device="meta")
    recorder = _Recorder(model, on_meta=True)
    with torch.no_grad():
        recorder.run(image)
    return Trace(recorder.ref(image), recorder.steps, recorder.outputs, recorder.uses)


def output_of(model: nn.Module, images: Tensor, layer: str, use: int) -> Tensor:
    """What `layer` puts out at its `use`-th use (from 1), for real images, in evaluation mode."""

    def stop(name: str, uses: int, output: Tensor) -> None:
        if name == layer and uses == use:
            raise _Reached(output)

    try:
        _Recorder(model, on_meta=False, watch=stop).run(images)
    except _Reached as reached:
        return reached.output
    raise ValueError(f"Layer {layer!r} is not computed for these images, unlike for the shape alone.")


class _Recorder(TorchFunctionMode):
    """Notes what runs while it is active, under the names of `model.named_modules()`."""

    def __init__(
        self, model: nn.Module, on_meta: bool, watch: Callable[[str, int, Tensor], None] | None = None
    ):
        super().__init__()
        self.model, self.on_meta, self.watch = model, on_meta, watch
        self.steps: list[Step] = []
        self.outputs: dict[str, Ref] = {}
        self.uses: Counter[str] = Counter()
        self._place = ""  # the innermost module that is running and holds others
        self._step: Step | None = None  # the innermost module that holds none, while it runs
        self._failure: tuple[Exception, str] | None = None
        self._modules = dict(model.named_modules())
        self._parameters = {id(p): name for name, p in model.named_parameters()}
        self._keys: dict[int, int] = {}
        self._alive: list[Tensor] = []  # else Python would give a dead tensor's id to a new one
        self._metas: dict[int, Tensor] = {}
        self._tracked: set[int] = set()  # keys of tensors that the input flows into

    def run(self, images: Tensor) -> None:
        self._tracked.add(self.ref(images).key)
        for name, module in self._modules.items():
            if isinstance(module, torch.jit.ScriptModule):
                raise ValueError(f"{_label(name, module)} is a TorchScript module; give the original one.")
        with _untouched(self.model):
            for name, module in self._modules.items():
                module.__dict__["forward"] = self._watched(name, module)
            try:
                with self:
                    self.model(images)
            except Exception as error:
                raise ValueError(self._sentence(error)) from error

    def ref(self, tensor: Tensor) -> Ref:
        key = self._keys.setdefault(id(tensor), len(self._keys))
        if key == len(self._alive):
            self._alive.append(tensor)
        return Ref(key, tuple(tensor.shape), self._parameters.get(id(tensor)))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = _function_name(func)
        refs = _map_tensors(self.ref, (args, kwargs))
        if self.on_meta and any(t.is_meta for t in _leaves((args, kwargs)) if isinstance(t, Tensor)):
            if name in _NEEDS_VALUES:
                error = RuntimeError()
                self._blame(error, f"{self._here()} cannot be traced: {_VALUES_MATTER}")
                raise error
            args, kwargs = _map_tensors(self._as_meta, (args, kwargs))
        try:
            if name.startswith("conv"):
                _refuse_what_meta_takes(Call(name, args, kwargs, ()))
            known = _batch_norm(*args, **kwargs) if name == "batch_norm" and self.on_meta else None
            result = func(*args, **kwargs) if known is None else known
        except Exception as error:
            if self._step is None:
                function = _plain(name)
                given = [r for r in _leaves(refs) if isinstance(r, Ref) and r.key in self._tracked]
                self._blame(
                    error, _complaint(f"Layer {self._free_name(function)!r} ({function})", given, error)
                )
            raise
        if name == "__setitem__":
            self._note("setitem", *refs, (args[0],))
        elif name not in _CREATES:
            outputs = tuple(t for t in _leaves(result) if isinstance(t, Tensor))
            if outputs:
                self._note(_plain(name), *refs, outputs)
        return result

    def _note(self, function: str, args: tuple, kwargs: dict, outputs: tuple[Tensor, ...]) -> None:
        call = Call(function, args, kwargs, tuple(map(self.ref, outputs)))
        tracked = [r for r in call.inputs if r.key in self._tracked]
        if tracked:
            self._tracked.update(r.key for r in call.outputs)
        elif not any(r.parameter for r in call.inputs):
            return
        if self._step is not None:
            self._step.calls.append(call)
            return
        name = self._free_name(function)
        step = Step(name, function, False, tracked or call.inputs, call.outputs[0], calls=[call])
        self.steps.append(step)
        self._finish(name, outputs[0])

    def _finish(self, name: str, output: Any) -> None:
        """A layer or a container is done."""
        tensor = next((leaf for leaf in _leaves(output) if isinstance(leaf, Tensor)), None)
        if tensor is None:
            return
        self.uses[name] += 1
        self.outputs[name] = self.ref(tensor)
        if self.watch:
            self.watch(name, self.uses[name], tensor)

    def _watched(self, name: str, module: nn.Module) -> Callable:
        """The module's forward, and a note when it begins and ends."""
        forward, leaf = module.forward, _is_leaf(module)

        @functools.wraps(forward)
        def watched(*args, **kwargs):
            if self._step is not None:  # inside a layer that is one row already
                return forward(*args, **kwargs)
            refs = [self.ref(t) for t in _leaves((args, kwargs)) if isinstance(t, Tensor)]
            place, self._place = self._place, name
            if leaf:
                step = self._step = Step(name, type(module).__name__, True, refs)
            try:
                output = forward(*args, **kwargs)
            except Exception as error:
                self._blame(error, _complaint(_label(name, module), refs, error))
                raise
            finally:
                self._place = place
                if leaf:
                    self._step = None
            if leaf:
                tensor = next((t for t in _leaves(output) if isinstance(t, Tensor)), None)
                step.output = self.ref(tensor) if tensor is not None else None
                step.use = self.uses[name] + 1
                if step.output is not None and self._counts(step):
                    self.steps.append(step)
            self._finish(name, output)
            return output

        return watched

    def _counts(self, step: Step) -> bool:
        """Whether the layer works on the input or on parameters, not on constants alone."""
        used = [*step.inputs, *(r for call in step.calls for r in call.inputs)]
        return any(r.key in self._tracked or r.parameter for r in used)

    def _free_name(self, function: str) -> str:
        """The function's name behind its module's, numbered from the second on."""
        base = f"{self._place}.{function}".lstrip(".")
        name, number = base, 0
        while name in self._modules or name in self.outputs:
            number += 1
            name = f"{base}_{number}"
        return name

    def _as_meta(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._metas:
            self.ref(tensor)  # keeps it alive
            self._metas[id(tensor)] = torch.empty_like(tensor, device="meta")
        return self._metas[id(tensor)]

    def _here(self) -> str:
        name = self._step.name if self._step else self._place
        return _label(name, self._modules[name])

    def _blame(self, error: Exception, sentence: str) -> None:
        """Remember the sentence of whoever met the error first: the innermost layer."""
        if self._failure is None or self._failure[0] is not error:
            self._failure = (error, sentence)

    def _sentence(self, error: Exception) -> str:
        if self._failure is not None and self._failure[0] is error:
            return self._failure[1]
        return _complaint(_label("", self.model), [], error)


def _batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, *_, **__
) -> Tensor | None:
    """Its result on the meta device where no check can fail: torch takes 2 ms to find it, 53 times in ResNet-50."""
    vectors = [v for v in (running_mean, running_var, weight, bias) if v is not None]
    certain = not training and running_mean is not None and input.is_meta and input.ndim > 1
    fits = all(v.shape == input.shape[1:2] and v.dtype == input.dtype for v in vectors)
    return torch.empty_like(input) if certain and fits else None


_VALUES_MATTER = "what it computes depends on the values in its input, and only their shape is known."


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without hooks; afterwards every module's attributes and buffers are as before."""
    modules = list(model.modules())
    attributes = [(m, dict(m.__dict__)) for m in modules]
    contents = [(v, copy(v)) for _, saved in attributes for v in saved.values() if isinstance(v, dict | list)]
    buffers = [(b, b._version, b.clone()) for b in model.buffers() if not is_lazy(b)]
    try:
        for module in modules:
            module.__dict__["training"] = False
            for hooks in _HOOKS:
                module.__dict__[hooks] = type(module.__dict__[hooks])()
        yield
    finally:
        for module, saved in attributes:
            module.__dict__.clear()
            module.__dict__.update(saved)
        for container, saved in contents:
            container.clear()
            container.extend(saved) if isinstance(container, list) else container.update(saved)
        with torch.no_grad():
            for buffer, version, saved in buffers:
                if buffer._version != version:
                    buffer.copy_(saved)


def _is_leaf(module: nn.Module) -> bool:
    """Whether torch knows this module as one layer (as `torch.fx` has it, and subclasses of such)."""
    if isinstance(module, _CONTAINERS):
        return False
    if isinstance(module, nn.MultiheadAttention):
        return True
    kinds = [c for c in type(module).__mro__ if c is not nn.Module]
    from_torch = any(c.__module__.startswith("torch.nn.modules.") for c in kinds)
    return from_torch and not any(module.children())


def _checked_shape(input_shape: Shape) -> Shape:
    sizes = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    if not sizes or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes):
        raise ValueError(
            f"input_shape must be positive integers such as (3, 224, 224), without the batch, got {input_shape!r}."
        )
    return sizes


def _label(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"Layer {name!r} ({kind})" if name else f"The model ({kind})"


def _complaint(layer: str, given: list[Ref], error: Exception) -> str:
    """One sentence: which layer, what it was given, and the first line of the error."""
    text = str(error).strip().split("\n")[0].rstrip(".").replace(". ", "; ")
    if "meta tensor" in text or "data-independent" in text:
        return f"{layer} cannot be traced: {_VALUES_MATTER}"
    shapes = " and ".join(str(ref.shape[1:]) for ref in given) or "its input"
    return f"{layer} cannot take {shapes}: {text or type(error).__name__}."


def _refuse_what_meta_takes(call: Call) -> None:
    """Settings that a real convolution refuses and one on the meta device does not."""
    given = call.bind("input weight bias stride padding dilation")
    for name, least in (("padding", 0), ("dilation", 1)):
        for value in _leaves(given.get(name, least)):
            if isinstance(value, int) and value < least and not call.function.startswith("conv_transpose"):
                raise ValueError(f"{name} must be at least {least}, got {value}")


def _function_name(func: Callable) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    return func.__self__.__name__ if name == "__get__" else name  # a property such as x.T


def _plain(function: str) -> str:
    """`add` for `add_`, `__add__`, `__radd__` and `__iadd__`."""
    name = function.strip("_")
    if function.startswith("__") and name[1:] in _OPERATORS and name[0] in "ri":
        name = name[1:]
    return {"truediv": "div"}.get(name, name)


_OPERATORS = {"add", "sub", "mul", "truediv", "div", "matmul", "pow", "floordiv"}


def _leaves(value: Any) -> Iterator[Any]:
    """All that is in nested tuples, lists and dicts."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _map_tensors(change: Callable, value: Any) -> Any:
    """`value` with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, tuple | list):
        items = [_map_tensors(change, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: _map_tensors(change, item) for key, item in value.items()}
    return value
