"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.geometry.fields import Axis, Field, NoField, joined, united
from course_utils.geometry.sizes import Shape


@dataclass(frozen=True)
class Operation:
    """One ATen operation: `name` without the mark of in-place ones, its arguments, and those that it writes to."""

    name: str
    arguments: tuple[str, ...]
    defaults: dict[str, Any]
    writes: tuple[str, ...]
    is_view: bool
    is_pointwise: bool
    is_composite: bool  # only in inference mode do such operations come whole


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


@lru_cache(None)
def operation(func: torch._ops.OpOverload) -> Operation:
    schema = func._schema
    writes = tuple(a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    name, kin = schema.name.split("::")[1], [func]
    if writes:  # the mark stands only at the form that makes a new tensor
        name = name.removesuffix("_")
        packet = getattr(torch.ops.aten, name, None)
        kin += [getattr(packet, overload) for overload in packet.overloads()] if packet else []
    return Operation(
        name=name,
        arguments=tuple(a.name for a in schema.arguments),
        defaults={a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        writes=writes,
        is_view=func.is_view or torch.Tag.inplace_view in func.tags,
        is_pointwise=any(torch.Tag.pointwise in each.tags for each in kin),
        is_composite=name not in RULES and func.has_kernel_for_dispatch_key(_COMPOSITE),
    )


class Seen(NamedTuple):
    """A tensor from the image as an argument of a call; its shape is the one before the call."""

    name: str
    tensor: Tensor
    shape: torch.Size
    field: Field


@dataclass(frozen=True)
class Call:
    """One call: its arguments by name, one of its outputs, which of them it is, and what comes from the image."""

    func: Any
    op: Operation
    given: dict[str, Any]
    seen: list[Seen]
    out: Tensor
    place: int = 0

    def __getitem__(self, name: str) -> Any:
        return self.given[name] if name in self.given else self.op.defaults.get(name)

    def rerun(self, tensor: Tensor) -> Tensor:
        """The same output of the same operation on another tensor in place of its first argument."""
        rest = {name: value for name, value in self.given.items() if name != self.op.arguments[0]}
        out = self.func(tensor, **rest)
        return out[self.place] if isinstance(out, tuple | list) else out


Rule = Callable[[Call, list[Axis]], Axis]


# What the outputs see


def field_of(call: Call) -> Field:
    """What the output of a call sees. Raises NoField where that is not known."""
    op, fields = call.op, [t.field for t in call.seen]
    rule = RULES.get(op.name) or (_viewing if op.is_view else _meeting if op.is_pointwise else _unknown)
    axes = tuple(rule(call, [field.axes[i] for field in fields]) for i in (0, 1))
    why = next((field.why for field in fields if field.why), "")
    return Field(axes, _is_pooled(call, fields), why if any(axis.loose for axis in axes) else "")


def _is_pooled(call: Call, fields: list[Field]) -> bool:
    """Whether nothing is left of a feature map but a summary."""
    name, shape, pooled = call.op.name, call.seen[0].shape, all(field.pooled for field in fields)
    if name.startswith("avg_pool"):
        windows = _windows(call)
        return pooled or all(w[0] >= n for w, n in zip(windows, shape[-len(windows) :], strict=True))
    if name == "convolution":
        return pooled and prod(shape[2:]) == 1
    return pooled or name in _ADAPTIVE


def _unknown(call: Call, axes: list[Axis]) -> Axis:
    if all(axis.is_whole and not axis.loose for axis in axes):  # more than the whole there is not
        return replace(axes[0], steps=(0,) * call.out.ndim)
    raise NoField(f"computes {call.op.name.strip('_')}, whose receptive field is not known here.")


def _meeting(call: Call, axes: list[Axis]) -> Axis:
    shape = call.out.shape
    return united([axis.broadcast(t.shape, shape) for t, axis in zip(call.seen, axes, strict=True)], shape)


def _viewing(call: Call, axes: list[Axis]) -> Axis:
    """A view of a tensor whose addresses are the row numbers: its offset and its strides say where rows went."""
    (axis,), shape, out = axes, call.seen[0].shape, call.out.shape
    if call.op.name == "as_strided":
        return axis if shape == out else _unknown(call, axes)

    def seen_through(steps: list[int]) -> Tensor | None:
        try:
            return call.rerun(torch.empty_strided(shape, steps, device="meta"))
        except RuntimeError:  # no view: rows and other things end up in one dimension
            return None

    def alone(dim: int) -> Tensor | None:
        return seen_through([axis.steps[dim] or 1 if d == dim else 0 for d in range(len(shape))])

    view, mixed = seen_through(axis.steps), []
    if view is None:
        rows = [d for d, step in enumerate(axis.steps) if step]
        mixed = [d for d in rows if alone(d) is None] or rows
        view = seen_through([0 if d in mixed else step for d, step in enumerate(axis.steps)])
    loose = set()
    for dim in axis.loose if axis.flat else axis.loose.union(mixed):
        found = alone(dim)
        dims = [
            d
            for d in range(len(out))
            if (found.stride(d) if found is not None else _meet(shape, dim, out, d))
        ]
        if prod(out[d] for d in dims) < shape[dim]:
            raise NoField("picks some of several values that see windows of different places.")
        loose |= {d for d in dims if out[d] > 1}
    steps = _with_single(call, axis, [view.stride(d) for d in range(len(out))])
    seen = axis.summed(mixed, shape)
    start = seen.start + (0 if seen.flat else view.storage_offset())
    moved = replace(seen, start=start, steps=steps, loose=frozenset(loose), flat=axis.flat)
    return moved if any(steps) else moved.summed((), out)


def _with_single(call: Call, axis: Axis, steps: list[int]) -> tuple[int, ...]:
    """Steps along dimensions of one position, which a change of shape forgets, where there was one before."""
    before, after = call.seen[0].shape, call.out.shape
    if call.op.name not in ("view", "_unsafe_view", "unsqueeze", "expand", "index"):
        return tuple(steps)
    same = len(before) == len(after)
    single = [axis.steps[d] if same and before[d] == 1 else 0 for d in range(len(after))]
    return tuple(one if n == 1 else step for one, n, step in zip(single, after, steps, strict=True))


def _meet(shape: Shape, dim: int, out: Shape, d: int) -> bool:
    """Whether an index of a reshaped tensor depends on this one of the original."""
    before, after = prod(shape[dim + 1 :]), prod(out[d + 1 :])
    return before < after * out[d] and after < before * shape[dim]


def _picking(call: Call, axes: list[Axis]) -> Axis:
    """The operation itself moves the numbers of the rows, and they still lie evenly spaced, or not."""
    axis, shape, out = axes[0], call.seen[0].shape, call.out.shape
    indices = [call["index"], *(call["indices"] or ())]
    if len(axes) > 1 or any(isinstance(index, Tensor) and index.is_meta for index in indices):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    if shape.numel() > _MOST or (axis.loose and shape != out):
        raise NoField(f"computes {call.op.name} on more windows than can be followed one by one.")
    found = call.rerun(_numbers(0, shape, axis.steps))
    first = int(found.flatten()[0])
    steps = [int(found.select(d, 1).flatten()[0]) - first if n > 1 else 0 for d, n in enumerate(out)]
    if min(steps) >= 0 and (found == _numbers(first, out, steps)).all():
        start = axis.start + (0 if axis.flat else first)
        return replace(axis, start=start, steps=_with_single(call, axis, steps))
    if shape != out:
        raise NoField(f"computes {call.op.name}, after which outputs see windows that are not evenly spaced.")
    rows = {d for d, step in enumerate(axis.steps) if step}
    return axis.summed(rows, shape, rows)


_MOST = 2**25


def _numbers(first: int, shape: Shape, steps: list[int]) -> Tensor:
    """first + sum of i[d] * steps[d] at index i."""
    numbers = torch.full([1] * len(shape), float(first))
    for dim, (n, step) in enumerate(zip(shape, steps, strict=True)):
        numbers = numbers + step * torch.arange(n).reshape([-1 if d == dim else 1 for d in range(len(shape))])
    return numbers.expand(shape).contiguous()


def _unshuffling(call: Call, axes: list[Axis]) -> Axis:
    """Blocks of pixels become channels."""
    factor, last = call["downscale_factor"], call.out.ndim - 1
    axis = axes[0].window(last, factor, factor).window(last - 1, factor, factor)
    return replace(axis, loose=axis.loose | {last - 2})


def _resizing(call: Call, axes: list[Axis]) -> Axis:
    axis, shape, out = axes[0], call.seen[0].shape, call.out.shape
    if shape == out:
        return axis
    if "nearest" in call.op.name and out.numel() <= shape.numel():
        return _picking(call, axes)
    if out.numel() < shape.numel():
        raise NoField(f"resizes {_sides(shape)} positions to {_sides(out)}, {_UNEVEN}")
    rows = {d for d, step in enumerate(axis.steps) if step and out[d] != shape[d]}
    return axis.summed(rows, shape, () if axis.flat else {d for d in rows if shape[d] > 1})


def _mixing(dims: Callable[[Call, Shape], Collection[int]]) -> Rule:
    """A rule for operations after which every output depends on all positions along some dimensions."""

    def rule(call: Call, axes: list[Axis]) -> Axis:
        shape, axis = _main(call, axes)
        mixed = axis.summed(dims(call, shape), shape)
        return _with_settings(call, axes, replace(mixed, steps=axis.steps) if mixed.flat else mixed)

    return rule


def _main(call: Call, axes: list[Axis]) -> tuple[torch.Size, Axis]:
    if call.seen[0].name not in ("input", "self"):
        raise NoField(f"computes {call.op.name} with weights from the image, and not of what comes from it.")
    return call.seen[0].shape, axes[0]


def _with_settings(call: Call, axes: list[Axis], axis: Axis) -> Axis:
    """Also what weights and statistics see that are made from the image."""
    others = [a.summed(range(len(t.shape)), t.shape) for t, a in zip(call.seen[1:], axes[1:], strict=True)]
    n = call.out.ndim
    return united([axis, *(replace(a, steps=(0,) * n, loose=frozenset()) for a in others)], call.out.shape)


def _dims(call: Call, shape: Shape) -> set[int]:
    dims = call["dim"]
    return (
        set(range(len(shape))) if dims is None or dims == [] else {d % len(shape) for d in _listed(dims, 1)}
    )


def _statistics(call: Call, shape: Shape) -> Collection[int]:
    """Batch normalisation measures over all but the channels, unless it has stored statistics."""
    measures = call["training"] and "no_training" not in call.op.name
    return [d for d in range(len(shape)) if d != 1] if measures else ()


def _normalised(call: Call, shape: Shape) -> Collection[int]:
    return range(len(shape) - len(call["normalized_shape"]), len(shape))


def _reducing(call: Call, axes: list[Axis]) -> Axis:
    """Mean, sum, maximum and the like over some dimensions, or two tensors' maximum."""
    if len(axes) > 1:
        return _meeting(call, axes)
    shape = call.seen[0].shape
    gone = _dims(call, shape)
    axis = axes[0].summed(gone, shape)
    return axis if call.out.ndim == len(shape) else axis.without(gone)


def _joining(call: Call, axes: list[Axis]) -> Axis:
    """Concatenation: one behind the other."""
    dim, found = (
        (call["dim"] or 0) % call.out.ndim,
        {id(t.tensor): a for t, a in zip(call.seen, axes, strict=True)},
    )
    parts = [(found.get(id(t)), t.shape) for t in call["tensors"] if t.shape != (0,)]
    return joined(parts, dim)


def _product(call: Call, axes: list[Axis]) -> Axis:
    """A product of matrices sums over the last dimension of the left factor, and of the right one but one."""
    (left, right), branches = _factors(call), []
    for (name, _, shape, _), axis in zip(call.seen, axes, strict=True):
        if name in (left, right):
            dim = max(len(shape) - 2, 0) if name == right else len(shape) - 1
            axis, shape = axis.summed({dim}, shape), torch.Size([*shape[:dim], 1, *shape[dim + 1 :]])
            if call.out.ndim < len(shape):
                axis, shape = axis.without({dim}), torch.Size([*shape[:dim], *shape[dim + 1 :]])
        branches.append(axis.broadcast(shape, call.out.shape))
    return united(branches, call.out.shape)


def _factors(call: Call) -> list[str]:
    return [name for name in call.op.arguments if isinstance(call[name], Tensor)][-2:]


# Windows


def _listed(value: Any, n: int) -> list[int]:
    """An int, or a sequence of one or n, as n ints."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * n if len(values) == 1 else values


def _windows(call: Call) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, padding and dilation of a convolution or pooling along each of the last dimensions."""
    convolves = call.op.name == "convolution"
    kernel = call["weight"].shape[2:] if convolves else call["kernel_size"]
    n = len(kernel) if convolves else int(call.op.name.split("pool")[1][0])
    kernel, stride = _listed(kernel, n), _listed(call["stride"] or kernel, n)
    padding, dilation = (_listed(call[name] or usual, n) for name, usual in (("padding", 0), ("dilation", 1)))
    return list(zip(kernel, stride, padding, dilation, strict=True))


_UNEVEN = "and what its outputs see is not evenly spaced."


def _sides(shape: Shape) -> str:
    return " × ".join(map(str, shape[2:]))


def _sliding(call: Call, axes: list[Axis]) -> Axis:
    shape, axis = _main(call, axes)
    windows, stride = _windows(call), _listed(call["stride"], 1)
    first = len(shape) - len(windows)
    if call["transposed"] and max(stride) > 1:
        raise NoField(f"is a transposed convolution of stride {max(stride)}, {_UNEVEN}")
    if call.op.name == "convolution":  # a field is the union over the channels
        apart = call["groups"] > 1 and (axis.steps[first - 1] or first - 1 in axis.loose)
        axis = axis.summed({first - 1}, shape, {first - 1} if apart else ())
    for dim, (kernel, stride, padding, dilation) in enumerate(windows, first):
        # With stride 1 a transposed convolution is one whose padding makes up for the kernel.
        padding = dilation * (kernel - 1) - padding if call["transposed"] else padding
        axis = axis.window(dim, kernel, stride, padding, dilation)
    return _with_settings(call, axes, axis)


def _adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(call: Call, axes: list[Axis]) -> Axis:
    """Windows of equal size and step where they are; else the narrowest field that holds them all."""
    axis, shape, out = axes[0], call.seen[0].shape, call.out.shape
    for dim in range(len(shape) - int(call.op.name.split("pool")[1][0]), len(shape)):
        n, outputs = shape[dim], out[dim]
        if outputs == 1:
            axis = axis.summed({dim}, shape)
        elif outputs > n > 1 and axis.steps[dim] and not axis.flat:
            axis = axis.summed({dim}, shape, {dim})
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
    for i, before in enumerate((call["pad"] or call["padding"])[::2]):
        axis = axis.window(last - i, 1, 1, before)
    return axis


# Which rule is whose


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POOLS = _names("avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d")
_POOLS |= _names("max_pool2d_with_indices max_pool3d_with_indices")
_ADAPTIVE = _names("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d")
_ADAPTIVE |= _names("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
_REDUCTIONS = _names(
    "mean sum amax amin max min var std norm linalg_vector_norm logsumexp median prod any all"
)
_PRODUCTS = _names("matmul mm bmm addmm baddbmm mv addmv dot vdot")
_PICKS = _names("index index_select flip roll repeat pixel_shuffle channel_shuffle")
_ELEMENTWISE = _names("clone _to_copy copy native_dropout hardswish log_sigmoid_forward rrelu_with_noise")
_PADS = _names("constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d")
_RESIZES = _names("upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d")
_RESIZES |= _names("_upsample_bilinear2d_aa _upsample_bicubic2d_aa")
# They move, pick or compare values and multiply nothing (or as little as an interpolation).
_FREE = _names(
    "topk sort argsort gather scatter scatter_add index_add index_put _index_put_impl searchsorted bucketize stack "
    "embedding cumsum cumprod cummax cummin im2col col2im max_unpool2d grid_sampler_2d grid_sampler_3d bernoulli "
    "argmax argmin isin rot90 var_mean std_mean aminmax unsafe_split unsafe_split_with_sizes tril triu "
    "upsample_nearest1d upsample_nearest3d upsample_linear1d upsample_trilinear3d reflection_pad3d replication_pad3d"
)
# Their result has the shape of their input and nothing else of it.
CREATES = _names("zeros_like ones_like empty_like full_like rand_like randn_like zero fill")
CREATES |= _names("new_zeros new_ones new_empty new_full new_empty_strided")

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _meeting),
    **dict.fromkeys(_PICKS, _picking),
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(_POOLS | {"convolution"}, _sliding),
    **dict.fromkeys(_ADAPTIVE, _adaptive),
    **dict.fromkeys(_REDUCTIONS, _reducing),
    **dict.fromkeys(_PADS, _padding),
    **dict.fromkeys(_RESIZES, _resizing),
    **dict.fromkeys(_names("_softmax _log_softmax _safe_softmax glu"), _mixing(_dims)),
    **dict.fromkeys(_names("native_batch_norm _native_batch_norm_legit_no_training"), _mixing(_statistics)),
    **dict.fromkeys(_names("native_layer_norm _fused_rms_norm"), _mixing(_normalised)),
    "native_group_norm": _mixing(lambda call, shape: range(1, len(shape))),
    "pixel_unshuffle": _unshuffling,
    "_unsafe_view": _viewing,
    "cat": _joining,
    "linear": _mixing(lambda call, shape: [len(shape) - 1]),
}


# What it costs


def macs_of(call: Call) -> int | None:
    """Multiply-adds of a call, biases not counted; None where they are not known.

    Those of attention's own kernels are torch's (`torch.utils.flop_counter`).
    """
    name = call.op.name
    if name in ("convolution", "deform_conv2d"):
        return (call["input"] if call["transposed"] else call.out).numel() * prod(call["weight"].shape[1:])
    if name == "linear":
        return call.out.numel() * call["weight"].shape[-1]
    if name in _PRODUCTS:
        return call.out.numel() * call[_factors(call)[0]].shape[-1]
    if call.op.is_view or call.op.is_pointwise or name in RULES or name in _FREE or name in CREATES:
        return 0
    from torch.utils.flop_counter import flop_registry  # slow to load, and seldom needed

    count = flop_registry.get(call.func.overloadpacket)
    return count and count(**call.given, out_val=call.out) // 2


def windows_of(call: Call) -> int:
    """The (input, output) pairs that a pooling operation joins, pairs with padding included."""
    name, out = call.op.name, call.out
    if name in _POOLS:
        return out.numel() * prod(window[0] for window in _windows(call))
    if name in _ADAPTIVE:
        n = int(name.split("pool")[1][0])
        sizes = zip(call.seen[0].shape[-n:], out.shape[-n:], strict=True)
        return prod(out.shape[:-n]) * prod(sum(b - a for a, b in _adaptive_windows(*pair)) for pair in sizes)
    return prod(call.seen[0].shape) if name in _REDUCTIONS else 0
