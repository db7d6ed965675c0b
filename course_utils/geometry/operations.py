"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, joined, united
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
    schema = func._schema
    writes = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    name, kin = schema.name.split("::")[1].strip("_").removeprefix("native_"), [func]
    if writes:  # the mark stands only at the form that makes a new tensor
        packet = getattr(torch.ops.aten, name, None)
        kin += [getattr(packet, overload) for overload in packet.overloads()] if packet else []
    composite = func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
    return Operation(
        name=name,
        arguments=tuple(a.name for a in schema.arguments),
        defaults={a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        writes=writes[0] if writes else "",
        is_view=func.is_view or torch.Tag.inplace_view in func.tags,
        is_pointwise=any(torch.Tag.pointwise in each.tags for each in kin),
        is_composite=composite and (name not in RULES or schema.overload_name in ("padding", "other")),
        reads=not any("Tensor" in str(r.type) for r in schema.returns),
    )


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Seen(NamedTuple):
    """A tensor from the image as an argument of a call."""

    name: str
    tensor: Tensor
    shape: torch.Size  # before the call
    field: Field


class Call(NamedTuple):
    """One call: its arguments by name, one of its outputs, which of them it is, and what comes from the image."""

    func: Any
    op: Operation
    given: dict[str, Any]
    seen: list[Seen]
    out: Tensor
    place: int


# What the outputs see: a rule makes of each axis of the tensors from the image the output's

Rule = Callable[[Call, list[Axis]], Axis]


def field_of(call: Call, label: str) -> Field:
    """What the output of a call sees; where that is not known, a sentence that begins with the label says why."""
    fields, axes = [t.field for t in call.seen], ()
    if len(fields) == 1 and call.op.is_pointwise and call.out.shape == call.seen[0].shape:
        return fields[0]
    why = next((f.why for f in fields if not f.axes), next((f.why for f in fields if f.why), ""))
    if all(field.axes for field in fields):
        try:
            rule = _rule_of(call)
            axes = tuple(rule(call, list(pair)) for pair in zip(*(f.axes for f in fields), strict=True))
        except NoField as reason:
            why = f"{label} {reason}"
    if not why and any(None in axis.steps for axis in axes):
        why = f"{label} {SCATTERED}"
    name, is_point = call.op.name, prod(call.out.shape[2:]) == 1
    pooled = all(f.pooled for f in fields) and (name not in _CONVOLUTIONS or is_point)
    pooled |= name in _ADAPTIVE or call.out.ndim != 4 or (is_point and name in _SUMMARIES)
    return Field(axes, why, pooled)  # nothing is left of a feature map but a summary


def _rule_of(call: Call) -> Rule:
    op = call.op
    if call.place and not op.is_view:
        raise NoField(f"computes {op.name}, of which only the first result is followed.")
    rule = RULES.get(op.name) or (_moving if op.is_view else _meeting if op.is_pointwise else _unknown)
    # Perhaps weights are made from the image.
    return (
        rule if rule in (_meeting, _joining) or [t.name for t in call.seen] == [op.arguments[0]] else _unknown
    )


def _unknown(call: Call, axes: list[Axis]) -> Axis:
    """What depends on something that sees the whole sees it, too; of values that all see the same, anything does."""
    flat = [axis._replace(steps=(0,) * call.out.ndim) for axis in axes if axis.is_constant]
    whole = [axis for axis in flat if axis.is_whole]
    if len(flat) < len(axes) and not whole:
        raise NoField(f"computes {call.op.name}, whose receptive field is not known here.")
    return united(whole or flat, call.out.shape)


def _meeting(call: Call, axes: list[Axis]) -> Axis:
    shape = call.out.shape
    return united([axis.broadcast(t.shape, shape) for t, axis in zip(call.seen, axes, strict=True)], shape)


def _moving(call: Call, axes: list[Axis]) -> Axis:
    """Views, and what only moves or picks values: the operation itself moves the numbers of the rows."""
    (axis,), shape, out = axes, call.seen[0].shape, call.out.shape
    strange = call.op.name == "as_strided" or call.out.dtype != call.seen[0].tensor.dtype
    if axis.is_constant or strange or not 0 < prod(out) <= _MOST:
        return axis if shape == out else _unknown(call, axes)
    indices = call.given.get("indices") or [call.given.get("index")]
    blind = [d for d, index in enumerate(indices) if isinstance(index, Tensor) and index.is_meta]
    if blind and (not call.given.get("indices") or any(axis.steps[d] != 0 for d in blind)):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    first, width, steps = _moved(call, axis.steps)
    for d, n in enumerate(out):  # a change of shape forgets the step along a dimension of one position
        if n == 1 and (width or call.op.name in _RESHAPES):
            steps[d] = axis.steps[d] if len(shape) == len(out) and shape[d] == 1 else 0
    moved = Axis(axis.extent, axis.start + first, axis.size + width, tuple(steps))
    known = [step or 0 for step in axis.steps]
    return moved.ended(max(known) if width == span(shape, known) else 1)


def _moved(call: Call, steps: Sequence[int | None]) -> tuple[int, int, list[int | None]]:
    """Where the call moves the numbers sum of i[d] * steps[d]: the first, how many follow unevenly, and the steps.

    Along a dimension without a step the numbers are too far apart to be taken for neighbours.
    """
    shape = call.seen[0].shape
    far = apart = 2 * span(shape, [step or 0 for step in steps]) + 2
    numbered = list(steps)
    for d, step in enumerate(steps):
        if step is None:
            numbered[d], apart = apart, apart * shape[d]
    numbers = torch.arange(span(shape, numbered) + 1, dtype=torch.double).as_strided(shape, numbered)
    rest = {name: value for name, value in call.given.items() if name != call.op.arguments[0]}
    rest = tree_map_only(Tensor, lambda t: t.new_zeros(t.shape, device="cpu") if t.is_meta else t, rest)
    try:
        rows = call.func(numbers, **rest)
    except RuntimeError:  # no view: rows and other things end up in one dimension
        rows = call.func(numbers.contiguous(), **rest)
    rows = rows[call.place] if isinstance(rows, tuple | list) else rows
    if None in steps:
        once = rows[tuple(slice(1 if step == 0 else None) for step in rows.stride())]
        if (once // far).unique().numel() < apart // far:
            raise NoField("picks some of several values that see windows of different places.")
    if rows.untyped_storage().data_ptr() == numbers.untyped_storage().data_ptr():
        return rows.storage_offset() % far, 0, [step if step < far else None for step in rows.stride()]
    changes = [rows.diff(dim=d) if n > 1 else rows.new_zeros(1) for d, n in enumerate(rows.shape)]
    new = [int(change.min()) if 0 <= change.min() == change.max() < far else None for change in changes]
    uneven = rows[tuple(slice(None) if step is None else 0 for step in new)] % far
    return int(uneven.min()), int(uneven.max() - uneven.min()), new


def span(shape: Shape, steps: Collection[int]) -> int:
    return sum((n - 1) * step for n, step in zip(shape, steps, strict=True))


def _mixing(call: Call, axes: list[Axis]) -> Axis:
    """Every output depends on all positions along some dimensions."""
    shape, given, every = call.seen[0].shape, call.given, range(call.seen[0].tensor.ndim)
    dims = _OVER[call.op.name](given, every) if call.op.name in _OVER else given.get("dim")
    dims = every if dims is None or (dims == [] and call.op.name not in _OVER) else dims
    dims = {d % len(shape) for d in ([dims] if isinstance(dims, int) else dims)}
    mixed = axes[0].summed(dims, shape)
    if call.out.ndim == len(shape):
        return mixed
    return mixed._replace(steps=tuple(step for d, step in enumerate(mixed.steps) if d not in dims))


# Without stored statistics, batch normalisation measures over all but the channels.
_OVER = {
    "linear": lambda given, every: [-1],
    "batch_norm": lambda given, every: [d for d in every if d != 1 and given["training"]],
    "instance_norm": lambda given, every: [d for d in every if d > 1 and given["use_input_stats"]],
    "layer_norm": lambda given, every: every[-len(given["normalized_shape"]) :],
    "group_norm": lambda given, every: every[1:],
}


def _joining(call: Call, axes: list[Axis]) -> Axis:
    """Concatenation: one behind the other."""
    found = {id(t.tensor): axis for t, axis in zip(call.seen, axes, strict=True)}
    parts = [(found.get(id(t)), t.shape) for t in call.given["tensors"] if t.shape != (0,)]
    return joined(parts, call.given["dim"] % call.out.ndim)


def _windows(call: Call) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, padding and dilation of a convolution or pooling along each of the last dimensions."""
    given = call.given
    kernel = given["weight"].shape[2:] if call.op.name in _CONVOLUTIONS else given["kernel_size"]
    n = len(kernel) if call.op.name in _CONVOLUTIONS else int(call.op.name.split("pool")[1][0])
    values = kernel, given["stride"] or kernel, given["padding"], given.get("dilation") or [1]
    return list(zip(*(list(v) * (n if len(v) == 1 else 1) for v in values), strict=True))


def _sliding(call: Call, axes: list[Axis]) -> Axis:
    (axis,), shape, windows = axes, call.seen[0].shape, _windows(call)
    first = len(shape) - len(windows)
    if call.given.get("transposed"):
        raise NoField("is a transposed convolution, and what its outputs see may be not evenly spaced.")
    if call.op.name in _CONVOLUTIONS:  # a field is the union over the channels
        apart = call.given["groups"] > 1 and axis.steps[first - 1] != 0
        axis = axis.summed({first - 1}, shape, None if apart else 0)
    for dim, (kernel, stride, padding, dilation) in enumerate(windows, first):
        axis = axis.window(dim, kernel, stride, padding, dilation)
    return axis


def _adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(call: Call, axes: list[Axis]) -> Axis:
    """Windows of equal size and step where they are; else the narrowest ones of one stride that hold them all."""
    (axis,), shape, out = axes, call.seen[0].shape, call.out.shape
    for dim in range(len(shape) - 2, len(shape)):
        n, outputs, covers = shape[dim], out[dim], []
        for step in {n // outputs, -(-n // outputs)}:
            ends = [
                (low - i * step, high - i * step)
                for i, (low, high) in enumerate(_adaptive_windows(n, outputs))
            ]
            start = min(low for low, _ in ends)
            covers.append((max(high for _, high in ends) - start, step, -start))
        if outputs == 1 or (outputs > n > 1 and axis.steps[dim]):
            axis = axis.summed({dim}, shape, None if outputs > 1 else 0)
        else:
            axis = axis.window(dim, *min(covers))
    return axis


def _padding(call: Call, axes: list[Axis]) -> Axis:
    """Padding moves the start; filled with copies of pixels, it counts as if they were new ones."""
    (axis,), last = axes, call.out.ndim - 1
    for i, before in enumerate((call.given.get("pad") or call.given["padding"])[::2]):
        axis = axis.window(last - i, 1, 1, before)
    return axis


# Which rule is whose

_MOST = 2**25
_RESHAPES = names("view unsafe_view unsqueeze expand flatten reshape")
_CONVOLUTIONS = names("convolution conv2d")
_POOLS = names("avg_pool2d avg_pool3d max_pool2d max_pool2d_with_indices")
_ADAPTIVE = names("adaptive_avg_pool2d adaptive_max_pool2d")
_REDUCTIONS = names("mean sum amax amin max min var std norm linalg_vector_norm logsumexp prod any all")
_SUMMARIES = _REDUCTIONS | {"avg_pool2d"}
MULTIPLIES = _CONVOLUTIONS | names("linear matmul mm bmm addmm baddbmm")
MOVES = names("clone to_copy flatten reshape unsafe_view")
# Their result has the shape of their input and nothing else of it.
CREATES = names(
    "zeros_like ones_like empty_like full_like rand_like randn_like zero fill new_zeros new_ones"
    " new_empty new_full new_empty_strided"
)
RULES: dict[str, Rule] = {
    name: rule
    for rule, of in (
        (_meeting, "clone to_copy copy dropout hardswish"),
        (_moving, "unsafe_view flatten reshape index index_select flip roll repeat channel_shuffle"),
        (_moving, "pixel_shuffle pixel_unshuffle upsample_nearest2d upsample_nearest_exact2d"),
        (_padding, "constant_pad_nd reflection_pad2d replication_pad2d"),
        (_joining, "cat"),
        (_mixing, "linear batch_norm instance_norm layer_norm group_norm softmax log_softmax safe_softmax"),
        # They pick, compare or weigh values.
        (_unknown, "topk sort argsort argmax gather scatter index_put index_put_impl stack embedding cumsum"),
        (_unknown, "im2col tril triu grid_sampler_2d var_mean unsafe_split upsample_bilinear2d glu"),
        (_unknown, "matmul mm bmm addmm baddbmm upsample_bicubic2d"),
    )
    for name in of.split()
}
RULES |= dict.fromkeys(CREATES, _unknown) | dict.fromkeys(_REDUCTIONS, _mixing)
RULES |= dict.fromkeys(_POOLS | _CONVOLUTIONS, _sliding) | dict.fromkeys(_ADAPTIVE, _adaptive)


# What it costs


def macs_of(call: Call) -> int | None:
    """Multiply-adds of a call, biases not counted; None where they are not known."""
    name, given = call.op.name, call.given
    if name in _CONVOLUTIONS or name == "deform_conv2d":
        outputs = given["input"] if given.get("transposed") else call.out
        return outputs.numel() * prod(given["weight"].shape[1:])
    if name in MULTIPLIES:
        left = [given[name] for name in ("self", "mat1", "batch1", "input") if name in given][-1]
        return call.out.numel() * left.shape[-1]
    return 0 if call.op.is_view or call.op.is_pointwise or name in RULES else None


def pairs_of(call: Call) -> int:
    """The (input, output) pairs that a pooling operation joins, pairs with padding included."""
    name, shape, out = call.op.name, call.seen[0].shape, call.out
    if name in _POOLS:
        return out.numel() * prod(window[0] for window in _windows(call))
    if name in _ADAPTIVE:
        sides = [_adaptive_windows(*sides) for sides in zip(shape[-2:], out.shape[-2:], strict=True)]
        return prod(out.shape[:-2]) * prod(sum(high - low for low, high in windows) for windows in sides)
    return prod(shape) if name in _REDUCTIONS else 0
