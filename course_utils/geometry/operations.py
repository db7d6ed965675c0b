"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from course_utils.geometry.fields import Axis, Field, NoField, joined, united
from course_utils.geometry.sizes import Shape


class Operation(NamedTuple):
    """One ATen operation: its name, `add` also for add_ and _add, its arguments, and the one that it writes to."""

    name: str
    arguments: tuple[str, ...]
    defaults: dict[str, Any]
    writes: str
    is_view: bool
    is_pointwise: bool
    is_composite: bool  # and has no rule as a whole
    reads: bool  # values, so the code that calls it depends on them


@lru_cache(None)
def operation(func: torch._ops.OpOverload) -> Operation:
    arguments, returns = func._schema.arguments, func._schema.returns
    writes = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    name, kin = func._schema.name.split("::")[1].strip("_").removeprefix("native_"), [func]
    if writes:  # the mark stands only at the form that makes a new tensor
        packet = getattr(torch.ops.aten, name, None)
        kin += [getattr(packet, overload) for overload in packet.overloads()] if packet else []
    composite = func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
    return Operation(
        name=name,
        arguments=tuple(a.name for a in arguments),
        defaults={a.name: a.default_value for a in arguments if a.has_default_value()},
        writes=writes[0] if writes else "",
        is_view=func.is_view or torch.Tag.inplace_view in func.tags,
        is_pointwise=any(torch.Tag.pointwise in each.tags for each in kin),
        is_composite=composite and (name not in RULES or func._schema.overload_name == "padding"),
        reads=not any("Tensor" in str(r.type) for r in returns),
    )


class Seen(NamedTuple):
    """A tensor from the image as an argument of a call; its shape is the one before the call."""

    name: str
    tensor: Tensor
    shape: torch.Size
    field: Field


class Call(NamedTuple):
    """One call: its arguments by name, one of its outputs, which of them it is, and what comes from the image."""

    func: Any
    op: Operation
    given: dict[str, Any]
    seen: list[Seen]
    out: Tensor
    place: int = 0

    def moved(self, steps: Collection[int]) -> tuple[Tensor, bool]:
        """Where its first argument's values go, if those are sum of i[d] * steps[d]; and whether that is a view."""
        shape = self.seen[0].shape
        numbers = torch.arange(span(shape, steps) + 1, dtype=torch.double).as_strided(shape, steps)
        rest = {name: value for name, value in self.given.items() if name != self.op.arguments[0]}
        rest = tree_map_only(Tensor, lambda t: t.new_zeros(t.shape, device="cpu") if t.is_meta else t, rest)
        try:
            out = self.func(numbers, **rest)
        except RuntimeError:  # no view: rows and other things end up in one dimension
            out = self.func(numbers.contiguous(), **rest)
        out = out[self.place] if isinstance(out, tuple | list) else out
        return out, out.untyped_storage().data_ptr() == numbers.untyped_storage().data_ptr()


def span(shape: Shape, steps: Collection[int]) -> int:
    return sum((n - 1) * step for n, step in zip(shape, steps, strict=True))


# What the outputs see: a rule makes of each axis of the tensors from the image the output's


Rule = Callable[[Call, list[Axis]], Axis]


def field_of(call: Call) -> Field:
    """What the output of a call sees. Raises NoField where that is not known."""
    op, fields = call.op, [t.field for t in call.seen]
    if call.place and not op.is_view:
        raise NoField(f"computes {op.name}, of which only the first result is followed.")
    rule = RULES.get(op.name) or (_moving if op.is_view else _meeting if op.is_pointwise else _unknown)
    axes = tuple(rule(call, list(pair)) for pair in zip(*(field.axes for field in fields), strict=True))
    why = next((field.why for field in fields if field.why), "")
    return Field(axes, why, is_pooled(call, axes))


def is_pooled(call: Call, axes: tuple[Axis, ...]) -> bool:
    """Whether nothing is left of a feature map but a summary."""
    name, shape = call.op.name, call.seen[0].shape
    if name.startswith("avg_pool"):
        windows = windows_along(call)
        if all(w[0] >= n for w, n in zip(windows, shape[-len(windows) :], strict=True)):
            return True
    if name in _ADAPTIVE or (name in _REDUCTIONS and not any(any(axis.steps) for axis in axes)):
        return True
    again = name in _CONVOLUTIONS and prod(shape[2:]) > 1
    return call.out.ndim != 4 or (all(t.field.pooled for t in call.seen) and not again)


def _unknown(call: Call, axes: list[Axis]) -> Axis:
    if all(axis.is_constant for axis in axes):  # of values that all see the same, anything does
        flat = [axis._replace(steps=(0,) * call.out.ndim) for axis in axes]
        return united(flat, call.out.shape)
    raise NoField(f"computes {call.op.name}, whose receptive field is not known here.")


def _meeting(call: Call, axes: list[Axis]) -> Axis:
    shape = call.out.shape
    return united([axis.broadcast(t.shape, shape) for t, axis in zip(call.seen, axes, strict=True)], shape)


def _moving(call: Call, axes: list[Axis]) -> Axis:
    """Views, and what only moves or picks values: the operation itself moves the numbers of the rows."""
    axis, shape, out = axes[0], call.seen[0].shape, call.out.shape
    indices = call.given.get("indices") or [call.given.get("index")]
    blind = [d for d, index in enumerate(indices) if isinstance(index, Tensor) and index.is_meta]
    if axis.is_constant or call.op.name == "as_strided" or not 0 < prod(out) <= _MOST:
        return axis if shape == out else _unknown(call, axes)
    if len(axes) > 1 or (blind and (not call.given.get("indices") or any(axis.steps[d] != 0 for d in blind))):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    numbered = [step or 0 for step in axis.steps]
    rows, is_view = call.moved(numbered)
    first, width, steps = (rows.storage_offset(), 0, [*rows.stride()]) if is_view else _read(rows)
    for d, n in enumerate(out):  # a change of shape forgets the step along a dimension of one position
        if n == 1 and (not is_view or call.op.name in _RESHAPES):
            steps[d] = axis.steps[d] if len(shape) == len(out) and shape[d] == 1 else 0
    for d in _uneven(call, axis) if None in axis.steps else ():
        steps[d] = None
    moved = Axis(axis.extent, axis.start + first, axis.size + width, tuple(steps))
    return moved.ended(max(numbered) if width == span(shape, numbered) else 1)


_MOST = 2**25
_RESHAPES = {"view", "unsafe_view", "unsqueeze", "expand", "flatten", "reshape"}


def _read(rows: Tensor) -> tuple[int, int, list[int | None]]:
    """The first of these numbers, how many follow along dimensions without an even step, and the steps."""
    steps: list[int | None] = []
    for dim, n in enumerate(rows.shape):
        change = rows.diff(dim=dim) if n > 1 else rows.new_zeros(1)
        steps.append(int(change.min()) if 0 <= change.min() == change.max() else None)
    uneven = rows[tuple(slice(None) if step is None else 0 for step in steps)]
    return int(uneven.min()), int(uneven.max() - uneven.min()), steps


def _uneven(call: Call, axis: Axis) -> set[int]:
    """Where uneven dimensions go; raises NoField where some of their values are left out."""
    shape = call.seen[0].shape
    sizes = [1 if step is not None else n for n, step in zip(shape, axis.steps, strict=True)]
    parts, _ = call.moved(
        [0 if step is not None else prod(sizes[d + 1 :]) for d, step in enumerate(axis.steps)]
    )
    if not parts.long().flatten().bincount(minlength=prod(sizes)).all():
        raise NoField("picks some of several values that see windows of different places.")
    return {d for d, n in enumerate(parts.shape) if n > 1 and (parts != parts.narrow(d, 0, 1)).any()}


def _mixing(call: Call, axes: list[Axis]) -> Axis:
    """Every output depends on all positions along some dimensions."""
    if call.op.name in _REDUCTIONS and len(axes) > 1:  # two tensors' maximum
        return _meeting(call, axes)
    shape, axis = _main(call, axes)
    dims = _MIXED.get(call.op.name, _dims)(call, shape)
    mixed = axis.summed(dims, shape)
    if call.op.name not in _REDUCTIONS:
        return _with_settings(call, axes, mixed)
    kept = call.out.ndim == len(shape)
    return (
        mixed if kept else mixed._replace(steps=tuple(s for d, s in enumerate(mixed.steps) if d not in dims))
    )


def _main(call: Call, axes: list[Axis]) -> tuple[torch.Size, Axis]:
    if call.seen[0].name not in ("input", "self"):
        raise NoField(f"computes {call.op.name} with weights from the image, and not of what comes from it.")
    return call.seen[0].shape, axes[0]


def _with_settings(call: Call, axes: list[Axis], axis: Axis) -> Axis:
    """Also what weights and statistics see that are made from the image."""
    others = [a.summed(range(len(t.shape)), t.shape) for t, a in zip(call.seen[1:], axes[1:], strict=True)]
    return united([axis, *(a._replace(steps=(0,) * call.out.ndim) for a in others)], call.out.shape)


def _dims(call: Call, shape: Shape) -> Collection[int]:
    dims = call.given.get("dim")
    if dims is None or dims == []:
        return range(len(shape))
    return {d % len(shape) for d in (dims if isinstance(dims, tuple | list) else [dims])}


_MIXED = {
    "linear": lambda call, shape: [len(shape) - 1],
    # Without stored statistics, batch normalisation measures over all but the channels.
    "batch_norm": lambda call, shape: (
        [d for d in range(len(shape)) if d != 1] if call.given.get("training") else ()
    ),
    "instance_norm": lambda call, shape: range(2, len(shape)) if call.given.get("use_input_stats") else (),
    "layer_norm": lambda call, shape: range(len(shape) - len(call.given.get("normalized_shape")), len(shape)),
    "group_norm": lambda call, shape: range(1, len(shape)),
}


def _joining(call: Call, axes: list[Axis]) -> Axis:
    """Concatenation: one behind the other."""
    found = {id(t.tensor): axis for t, axis in zip(call.seen, axes, strict=True)}
    parts = [(found.get(id(t)), t.shape) for t in call.given.get("tensors") if t.shape != (0,)]
    return joined(parts, (call.given.get("dim") or 0) % call.out.ndim)


# Windows


def windows_along(call: Call) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, padding and dilation of a convolution or pooling along each of the last dimensions."""
    convolves = call.op.name in _CONVOLUTIONS
    kernel = call.given.get("weight").shape[2:] if convolves else call.given.get("kernel_size")
    n = len(kernel) if convolves else int(call.op.name.split("pool")[1][0])
    values = (
        kernel,
        call.given.get("stride") or kernel,
        call.given.get("padding") or [0],
        call.given.get("dilation") or [1],
    )
    return list(zip(*(list(v) * (n if len(v) == 1 else 1) for v in values), strict=True))


def _sliding(call: Call, axes: list[Axis]) -> Axis:
    shape, axis = _main(call, axes)
    windows = windows_along(call)
    first, transposed = len(shape) - len(windows), call.given.get("transposed")
    if transposed and max(stride for _, stride, _, _ in windows) > 1:
        raise NoField(
            "is a transposed convolution with a stride, and what its outputs see is not evenly spaced."
        )
    if call.op.name in _CONVOLUTIONS:  # a field is the union over the channels
        apart = call.given.get("groups") > 1 and axis.steps[first - 1] != 0
        axis = axis.summed({first - 1}, shape, None if apart else 0)
    for dim, (kernel, stride, padding, dilation) in enumerate(windows, first):
        # With stride 1 a transposed convolution is one whose padding makes up for the kernel.
        before = dilation * (kernel - 1) - padding if transposed else padding
        axis = axis.window(dim, kernel, stride, before, dilation)
    return _with_settings(call, axes, axis)


def _adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(call: Call, axes: list[Axis]) -> Axis:
    """Windows of equal size and step where they are; else the narrowest field that holds them all."""
    axis, shape, out = axes[0], call.seen[0].shape, call.out.shape
    for dim in range(len(shape) - int(call.op.name.split("pool")[1][0]), len(shape)):
        n, outputs = shape[dim], out[dim]
        if outputs == 1 or (outputs > n > 1 and axis.steps[dim]):
            axis = axis.summed({dim}, shape, None if outputs > 1 else 0)
        else:
            windows = _adaptive_windows(n, outputs)
            axis = axis.window(dim, *min(_cover(windows, step) for step in {n // outputs, -(-n // outputs)}))
    return axis


def _cover(windows: list[tuple[int, int]], step: int) -> tuple[int, int, int]:
    """Size, stride and padding of the narrowest windows of this stride that hold these."""
    start = min(low - i * step for i, (low, _) in enumerate(windows))
    return max(high - i * step for i, (_, high) in enumerate(windows)) - start, step, -start


def _padding(call: Call, axes: list[Axis]) -> Axis:
    """Padding moves the start; filled with copies of pixels, it counts as if they were new ones."""
    axis, last = axes[0], call.out.ndim - 1
    for i, before in enumerate((call.given.get("pad") or call.given.get("padding"))[::2]):
        axis = axis.window(last - i, 1, 1, before)
    return axis


# Which rule is whose


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_CONVOLUTIONS = names("convolution conv2d")
_POOLS = names("avg_pool2d avg_pool3d max_pool2d max_pool2d_with_indices")
_ADAPTIVE = names("adaptive_avg_pool2d adaptive_max_pool2d")
_REDUCTIONS = names("mean sum amax amin max min var std norm linalg_vector_norm logsumexp prod any all")
_PRODUCTS = names("matmul mm bmm addmm baddbmm mv addmv dot vdot")
MULTIPLIES = _PRODUCTS | _CONVOLUTIONS | {"linear"}
# They move, pick or compare values.
_FREE = names(
    "topk sort argsort gather scatter scatter_add index_add index_put index_put_impl stack embedding cumsum argmax "
    "argmin bernoulli im2col col2im max_unpool2d grid_sampler_2d var_mean std_mean unsafe_split tril triu"
)
# Their result has the shape of their input and nothing else of it.
CREATES = names("zeros_like ones_like empty_like full_like rand_like randn_like zero fill")
CREATES |= names("new_zeros new_ones new_empty new_full new_empty_strided")
MOVES = names("clone to_copy flatten reshape unsafe_view")
_COPIES = names("clone to_copy copy dropout hardswish log_sigmoid_forward")
_PICKS = names(
    "unsafe_view flatten reshape index index_select flip roll repeat channel_shuffle pixel_shuffle"
)
_PICKS |= names("pixel_unshuffle upsample_nearest2d upsample_nearest_exact2d")
_RESIZES = names("upsample_linear1d upsample_bilinear2d upsample_bilinear2d_aa upsample_bicubic2d")
RULES: dict[str, Rule] = {
    **dict.fromkeys(_RESIZES, _unknown),
    **dict.fromkeys(_PRODUCTS, _unknown),
    **dict.fromkeys(_COPIES, _meeting),
    **dict.fromkeys(_PICKS, _moving),
    **dict.fromkeys(_POOLS | _CONVOLUTIONS, _sliding),
    **dict.fromkeys(_ADAPTIVE, _adaptive),
    **dict.fromkeys(_REDUCTIONS | _MIXED.keys() | names("softmax log_softmax safe_softmax glu"), _mixing),
    **dict.fromkeys(names("constant_pad_nd reflection_pad2d replication_pad2d"), _padding),
    "cat": _joining,
}


# What it costs


def macs_of(call: Call) -> int | None:
    """Multiply-adds of a call, biases not counted; None where they are not known."""
    name = call.op.name
    if name in _CONVOLUTIONS or name == "deform_conv2d":
        values = call.given.get("input") if call.given.get("transposed") else call.out
        return values.numel() * prod(call.given.get("weight").shape[1:])
    if name == "linear":
        return call.out.numel() * call.given.get("weight").shape[-1]
    if name in _PRODUCTS:
        left = [
            call.given.get(name) for name in call.op.arguments if isinstance(call.given.get(name), Tensor)
        ][-2]
        return call.out.numel() * left.shape[-1]
    known = call.op.is_view or call.op.is_pointwise or name in RULES or name in _FREE or name in CREATES
    return 0 if known else None


def windows_of(call: Call) -> int:
    """The (input, output) pairs that a pooling operation joins, pairs with padding included."""
    name, out = call.op.name, call.out
    if name in _POOLS:
        return out.numel() * prod(window[0] for window in windows_along(call))
    if name in _ADAPTIVE:
        n = int(name.split("pool")[1][0])
        sizes = zip(call.seen[0].shape[-n:], out.shape[-n:], strict=True)
        return prod(out.shape[:-n]) * prod(sum(b - a for a, b in _adaptive_windows(*pair)) for pair in sizes)
    return prod(call.seen[0].shape) if name in _REDUCTIONS else 0
