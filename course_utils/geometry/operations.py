"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.geometry.fields import Field, Line, NoField
from course_utils.geometry.places import (
    Axis,
    Scattered,
    concatenated,
    is_whole,
    moved,
    renumbered,
    summed,
    united,
)
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
    name = schema.name.split("::")[1]
    kin = [func]
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


Part = tuple[str, Any, torch.Size, Axis]  # as `Seen`, with one axis of the field
Rule = Callable[[int, Call, list[Part]], Axis]


# --- What the outputs see ----------------------------------------------------------------------------------


def field_of(extents: Shape, call: Call) -> Field:
    """What the output of a call sees. Raises NoField where that is no single window a position."""
    name, fields = call.op.name, [t.field for t in call.seen]
    pooled = all(field.pooled for field in fields)
    rule = RULES.get(name) or (_moving if call.op.is_view else _meeting if call.op.is_pointwise else None)
    if rule is None:
        if pooled and all(is_whole(e, a) for f in fields for e, a in zip(extents, f.axes, strict=True)):
            return Field(tuple(Line(None, 0, extent, 0) for extent in extents), pooled=True)
        raise NoField(f"computes {name.strip('_')}, whose receptive field is not known here.")
    axes = tuple(
        rule(extent, call, [(t.name, t.tensor, t.shape, t.field.axes[i]) for t in call.seen])
        for i, extent in enumerate(extents)
    )
    return Field(axes, _is_pooled(call, fields[0], pooled))


def _is_pooled(call: Call, field: Field, pooled: bool) -> bool:
    """Whether nothing is left of a feature map but a summary."""
    name, shape = call.op.name, call.seen[0].shape
    lines = [a.dim for a in field.axes if isinstance(a, Line)]
    if name in _ADAPTIVE:
        return True
    if name in _REDUCTIONS and len(call.seen) == 1:
        gone = _dims(call, len(shape))
        return pooled or (len(lines) == 2 and all(d is None or d in gone for d in lines))
    if name.startswith("avg") and name in _POOLS:
        windows = _windows(call)
        pooled = pooled or all(w[0] >= n for w, n in zip(windows, shape[-len(windows) :], strict=True))
    elif name == "convolution":
        pooled = pooled and prod(shape[d] for d in lines if d is not None) == 1
    return pooled


def _meeting(extent: int, call: Call, seen: list[Part]) -> Axis:
    return united(extent, [(axis, shape) for _, _, shape, axis in seen], call.out.shape)


def _copying(extent: int, call: Call, seen: list[Part]) -> Axis:
    """`copy_` forgets what it writes over."""
    return _meeting(extent, call, [part for part in seen if part[0] == "src"])


def _moving(extent: int, call: Call, seen: list[Part]) -> Axis:
    indices = [call["index"], *(call["indices"] or ())]
    if len(seen) > 1 or any(isinstance(index, Tensor) and index.is_meta for index in indices):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    return moved(extent, seen[0][3], seen[0][2], call.rerun, call.op.is_view)


def _resizing(extent: int, call: Call, seen: list[Part]) -> Axis:
    _, _, shape, axis = seen[0]
    if shape == call.out.shape:
        return axis
    if "nearest" in call.op.name:
        axis = _moving(extent, call, seen)
    elif isinstance(axis, Line) and (axis.stride == 0 or (axis.dim is not None and shape[axis.dim] == 1)):
        return axis._replace(stride=0)
    if "nearest" not in call.op.name or isinstance(axis, Scattered):
        before, after = (" × ".join(map(str, s[2:])) for s in (shape, call.out.shape))
        raise NoField(
            f"resizes {before} positions to {after}, and what its outputs see is not evenly spaced."
        )
    return axis


def _mixing(dims: Callable[[Call, Shape], Collection[int]]) -> Rule:
    """A rule for operations after which every output depends on all positions along some dimensions."""

    def rule(extent: int, call: Call, seen: list[Part]) -> Axis:
        shape, axis = _main(call, seen)
        return _with_settings(extent, call, seen, summed(extent, axis, shape, dims(call, shape)))

    return rule


def _main(call: Call, seen: list[Part]) -> tuple[torch.Size, Axis]:
    name, _, shape, axis = seen[0]
    if name not in ("input", "self"):
        raise NoField(f"computes {call.op.name} with weights from the image, and not of what comes from it.")
    return shape, axis


def _with_settings(extent: int, call: Call, seen: list[Part], axis: Axis) -> Axis:
    """Also what weights and statistics see that are made from the image."""
    if len(seen) == 1:
        return axis
    others = [summed(extent, a, shape, range(len(shape))) for _, _, shape, a in seen[1:]]
    branches = [(axis, call.out.shape), *((a._replace(dim=None), ()) for a in others)]
    return united(extent, branches, call.out.shape)


def _dims(call: Call, n: int) -> set[int]:
    dims = call["dim"]
    return set(range(n)) if dims is None or dims == [] else {d % n for d in _listed(dims, 1)}


def _statistics(call: Call, shape: Shape) -> Collection[int]:
    """Batch normalisation measures over all but the channels, unless it has stored statistics."""
    measures = call["training"] and "no_training" not in call.op.name
    return [d for d in range(len(shape)) if d != 1] if measures else ()


def _reducing(extent: int, call: Call, seen: list[Part]) -> Axis:
    """Mean, sum, maximum and the like over some dimensions, or two tensors' maximum."""
    _, _, shape, axis = seen[0]
    if len(seen) > 1:
        return _meeting(extent, call, seen)
    gone = _dims(call, len(shape))
    axis = summed(extent, axis, shape, gone)
    return axis if call.out.ndim == len(shape) else renumbered(axis, gone)


def _joining(extent: int, call: Call, seen: list[Part]) -> Axis:
    """Concatenation: a union along other dimensions than height and width; there, one behind the other."""
    dim, new = (call["dim"] or 0) % call.out.ndim, call.op.name == "stack"
    found = {id(tensor): axis for _, tensor, _, axis in seen}
    parts = [(found.get(id(t)), t.shape) for t in call["tensors"] if t.shape != (0,)]
    if new:
        parts = [(renumbered(a, new=dim), torch.Size([*s[:dim], 1, *s[dim:]])) for a, s in parts]
    if any(isinstance(a, Scattered) or (a and a.dim == dim and a.stride) for a, _ in parts):
        return concatenated(extent, parts, dim)
    return united(extent, [part for part in parts if part[0]], call.out.shape)


def _product(extent: int, call: Call, seen: list[Part]) -> Axis:
    """A product of matrices sums over the last dimension of the left factor, and of the right one but one."""
    left, right = _factors(call)
    branches = []
    for name, _, shape, axis in seen:
        if name in (left, right):
            dim = max(len(shape) - 2, 0) if name == right else len(shape) - 1
            axis = summed(extent, axis, shape, {dim})
            vanishes = call.out.ndim < len(shape) or len(shape) == 1
            axis = renumbered(axis, {dim}) if vanishes else axis
            shape = torch.Size([*shape[:dim], *([] if vanishes else [1]), *shape[dim + 1 :]])
        branches.append((axis, shape))
    return united(extent, branches, call.out.shape)


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
    if call["transposed"]:
        if max(stride) > 1:
            raise NoField(f"is a transposed convolution of stride {max(stride)}, {_FINER}")
        # With stride 1 it is a convolution whose padding makes up for the kernel.
        padding = [d * (k - 1) - p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    return list(zip(kernel, stride, padding, dilation, strict=True))


_FINER = "and on the finer grid that it makes, outputs see windows of different sizes."
_APART = "slides a window over values that see different places, not one after the other."


def _sliding(extent: int, call: Call, seen: list[Part]) -> Axis:
    shape, axis = _main(call, seen)
    if isinstance(axis, Line) and axis.stride == 0:  # all see the same, and so do their sums
        return _with_settings(extent, call, seen, axis)
    windows = _windows(call)
    first = len(shape) - len(windows)
    if call.op.name == "convolution" or isinstance(axis, Scattered):  # a field is the union over the channels
        axis = summed(extent, axis, shape, {first - 1})
    if isinstance(axis, Line):
        axis = axis.window(*windows[axis.dim - first]) if axis.dim is not None and axis.dim >= first else axis
    elif any(window[:3] != (1, 1, 0) for window in windows):
        raise NoField(_APART)
    return _with_settings(extent, call, seen, axis)


def _adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(extent: int, call: Call, seen: list[Part]) -> Axis:
    """Windows of equal size and step where they are; else the narrowest field that holds them all."""
    _, _, shape, axis = seen[0]
    after = call.out.shape
    if isinstance(axis, Scattered):
        if any(n != 1 for n in after[2:]):
            raise NoField(_APART)
        return summed(extent, axis, shape, range(1, len(shape)))
    if axis.dim is None or not axis.stride:
        return axis
    positions, outputs = shape[axis.dim], after[axis.dim]
    if outputs == 1:
        return summed(extent, axis, shape, {axis.dim})
    if outputs > positions > 1:
        raise NoField(f"spreads {positions} positions over {outputs}, {_FINER}")
    windows = _adaptive_windows(positions, outputs)

    def cover(step: int) -> tuple[int, int, int]:
        start = min(low - i * step for i, (low, _) in enumerate(windows))
        return max(high - i * step for i, (_, high) in enumerate(windows)) - start, step, start

    size, step, start = min(cover(step) for step in (positions // outputs, -(-positions // outputs)))
    return axis.window(size, step, -start)


def _padding(extent: int, call: Call, seen: list[Part]) -> Axis:
    """Padding moves the start; filled with copies of pixels, it counts as if they were new ones."""
    _, _, shape, axis = seen[0]
    if shape == call.out.shape:
        return axis
    if isinstance(axis, Scattered):
        raise NoField(_APART)
    before = dict(zip(range(len(shape) - 1, -1, -1), (call["pad"] or call["padding"])[::2], strict=False))
    return axis.window(1, 1, before.get(axis.dim, 0))


def _restrided(extent: int, call: Call, seen: list[Part]) -> Axis:
    if seen[0][2] == call.out.shape:  # another order in memory alone
        return seen[0][3]
    raise NoField(f"computes {call.op.name}, whose receptive field is not known here.")


# Which rule is whose


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POOLS = _names("avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d")
_POOLS |= _names("max_pool2d_with_indices max_pool3d_with_indices")
_ADAPTIVE = frozenset(
    f"{kind}_pool{n}d" for kind in ("_adaptive_avg", "adaptive_avg", "adaptive_max") for n in (1, 2, 3)
)
_REDUCTIONS = _names(
    "mean sum amax amin max min var std norm linalg_vector_norm logsumexp median prod argmax argmin"
)
_REDUCTIONS |= _names("any all")
_PRODUCTS = _names("mm bmm addmm baddbmm mv addmv dot vdot")
SPLITS = _names("unsafe_split unsafe_split_with_sizes")
PICKS = _names("index index_select flip roll repeat pixel_unshuffle pixel_shuffle channel_shuffle")
_ELEMENTWISE = _names(
    "clone _to_copy native_dropout hardswish log_sigmoid_forward rrelu_with_noise tril triu"
)
_PADS = frozenset(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)) | {
    "constant_pad_nd"
}
_RESIZES = frozenset(
    f"{way}{n}d" for way in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)
)
_RESIZES |= _names("upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d")
_RESIZES |= _names("_upsample_bilinear2d_aa _upsample_bicubic2d_aa")
# They move, pick or compare values and multiply nothing (or as little as an interpolation).
_FREE = _names(
    "topk sort argsort gather scatter scatter_add index_add index_put _index_put_impl searchsorted bucketize embedding "
    "cumsum cumprod cummax cummin im2col col2im max_unpool2d grid_sampler_2d grid_sampler_3d fill zero bernoulli "
    "isin rot90 var_mean std_mean aminmax"
)
# Their result has the shape of their input and nothing else of it.
CREATES = frozenset(f"{value}_like" for value in ("zeros", "ones", "empty", "full", "rand", "randn"))
CREATES |= _names("new_zeros new_ones new_empty new_full new_empty_strided zero fill")

RULES: dict[str, Rule] = {
    name: rule
    for names, rule in (
        (_ELEMENTWISE, _meeting),
        ({"copy"}, _copying),
        ({"as_strided"}, _restrided),
        (PICKS | SPLITS | {"_unsafe_view"}, _moving),
        ({"cat", "stack"}, _joining),
        (_PRODUCTS, _product),
        ({"convolution"} | _POOLS, _sliding),
        (_ADAPTIVE, _adaptive),
        (_REDUCTIONS, _reducing),
        (_PADS, _padding),
        (_RESIZES, _resizing),
        (
            _names("_softmax _log_softmax _safe_softmax glu"),
            _mixing(lambda call, shape: _dims(call, len(shape))),
        ),
        (
            _names("native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training"),
            _mixing(_statistics),
        ),
        (
            _names("native_layer_norm _fused_rms_norm"),
            _mixing(lambda call, shape: range(len(shape) - len(call["normalized_shape"]), len(shape))),
        ),
        ({"native_group_norm"}, _mixing(lambda call, shape: range(1, len(shape)))),
    )
    for name in names
}


def summarises(call: Call) -> bool:
    """Whether a single position is left of all those of an image."""
    before, after = call.seen[0].shape, call.out.shape
    if call.op.name in _ADAPTIVE | _REDUCTIONS:
        return before.numel() > after.numel() and all(n == 1 for n in after[2:])
    return call.op.is_view and len(after) == 2 and after[0] == 1 and len(before) > 2


# --- What it costs ----------------------------------------------------------------------------------------


def macs_of(call: Call) -> int | None:
    """Multiply-adds of a call, biases not counted; None where they are not known.

    Those of attention's own kernels are torch's (`torch.utils.flop_counter`).
    """
    name = call.op.name
    if name in ("convolution", "deform_conv2d"):
        return (call["input"] if call["transposed"] else call.out).numel() * prod(call["weight"].shape[1:])
    if name in _PRODUCTS | {"addbmm", "addr", "outer"}:
        left, right = (call[factor] for factor in _factors(call))
        return left.numel() * (right.shape[-1] if right.ndim > 1 or name in ("addr", "outer") else 1)
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
