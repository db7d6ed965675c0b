"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.geometry.fields import Field, Frame, Line, NoField
from course_utils.geometry.places import Scattered, gathered, moved, spread_out, summed, united
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
    written = tuple(a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    name = schema.name.split("::")[1].removesuffix("_" if written else "\0")
    pointwise = {func} | {
        getattr(packet, o)
        for packet in [getattr(torch.ops.aten, name, None)]
        if written and packet
        for o in packet.overloads()
    }
    return Operation(
        name=name,
        arguments=tuple(a.name for a in schema.arguments),
        defaults={a.name: a.default_value for a in schema.arguments if a.has_default_value()},
        writes=written,
        is_view=func.is_view or torch.Tag.inplace_view in func.tags,
        is_pointwise=any(torch.Tag.pointwise in f.tags for f in pointwise),
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


Rule = Callable[[Frame, Call], Field]


# --- What the outputs see ----------------------------------------------------------------------------------


def field_of(frame: Frame, call: Call) -> Field:
    """What the output of a call sees. Raises NoField where that is no single window a position."""
    rule = RULES.get(call.op.name)
    if rule is None and call.op.is_view:
        rule = _moving
    if rule is None and call.op.is_pointwise:
        rule = _meeting
    if rule is not None:
        return rule(frame, call)
    if all(t.field.pooled and frame.is_whole(0, t.field.h) for t in call.seen):
        return frame.everything()
    raise NoField(f"computes {call.op.name.strip('_')}, whose receptive field is not known here.")


def _meet(frame: Frame, seen: Iterable[tuple[Shape, Field]], shape: Shape) -> Field:
    seen = list(seen)
    if len(seen) == 1 and seen[0][0] == shape:
        return seen[0][1]
    axes = [united(frame, i, [(field.axes[i], given) for given, field in seen], shape) for i in (0, 1)]
    return Field(*axes, pooled=all(field.pooled for _, field in seen))


def _meeting(frame: Frame, call: Call) -> Field:
    return _meet(frame, ((t.shape, t.field) for t in call.seen), call.out.shape)


def _copying(frame: Frame, call: Call) -> Field:
    """`copy_` forgets what it writes over."""
    return _meet(frame, ((t.shape, t.field) for t in call.seen if t.name == "src"), call.out.shape)


def _moving(frame: Frame, call: Call) -> Field:
    _, _, shape, field = call.seen[0]
    if len(call.seen) > 1 or _has_meta_index(call):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    axes = [moved(frame, i, a, shape, call.rerun, call.op.is_view) for i, a in enumerate(field.axes)]
    return Field(*axes, pooled=field.pooled)


def _has_meta_index(call: Call) -> bool:
    indices = call["indices"] if call.op.name == "index" else [call["index"]]
    return any(isinstance(index, Tensor) and index.is_meta for index in indices or ())


def _resizing(frame: Frame, call: Call) -> Field:
    _, _, shape, field = call.seen[0]
    before, after = shape[2:], call.out.shape[2:]
    if before == after:
        return field
    nearest = "nearest" in call.op.name
    found = _moving(frame, call) if nearest else field
    for axis in found.axes if nearest else field.axes:
        whole = isinstance(axis, Line) and (
            axis.stride == 0 or (axis.dim is not None and shape[axis.dim] == 1)
        )
        if isinstance(axis, Scattered) or not (nearest or whole):
            sizes = " × ".join(map(str, before)), " × ".join(map(str, after))
            raise NoField(
                f"resizes {sizes[0]} positions to {sizes[1]}, and what its outputs see is not evenly spaced."
            )
    return found if nearest else Field(*(a._replace(stride=0) for a in field.axes), pooled=field.pooled)


def _reduced(frame: Frame, field: Field, shape: Shape, dims: Collection[int]) -> Field:
    """The field once every output depends on all positions along these dimensions, which stay."""
    return replace(field, h=summed(frame, 0, field.h, shape, dims), w=summed(frame, 1, field.w, shape, dims))


def _constant(frame: Frame, field: Field, shape: Shape) -> Field:
    """The same for the whole tensor, which then has the shape ()."""
    axes = [
        a if a.dim is None else a._replace(dim=None)
        for a in _reduced(frame, field, shape, range(len(shape))).axes
    ]
    return Field(*axes, pooled=True)


def _with_settings(frame: Frame, call: Call, field: Field) -> Field:
    """Also what weights and statistics see that are made from the image."""
    others = [((), _constant(frame, t.field, t.shape)) for t in call.seen if t.name not in ("input", "self")]
    return _meet(frame, [(call.out.shape, field), *others], call.out.shape) if others else field


def _main(call: Call) -> Seen | None:
    return next((t for t in call.seen if t.name in ("input", "self")), None)


def _mixing(dims: Callable[[Call, Shape], Collection[int]]) -> Rule:
    """A rule for operations after which every output depends on all positions along some dimensions."""

    def rule(frame: Frame, call: Call) -> Field:
        main = _main(call)
        if main is None:
            raise NoField(
                f"computes {call.op.name.strip('_')} with weights from the image of what is not from it."
            )
        field = _reduced(frame, main.field, main.shape, dims(call, main.shape))
        return _with_settings(frame, call, field)

    return rule


def _along(call: Call, shape: Shape) -> set[int]:
    return {d % len(shape) for d in _listed(call["dim"], 1)}


def _statistics(call: Call, shape: Shape) -> Collection[int]:
    """Batch normalisation measures over all but the channels, unless it has stored statistics."""
    measures = call["training"] and "no_training" not in call.op.name
    return [d for d in range(len(shape)) if d != 1] if measures else ()


def _reducing(frame: Frame, call: Call) -> Field:
    """Mean, sum, maximum and the like over some dimensions, or two tensors' maximum."""
    _, _, shape, field = call.seen[0]
    if call.out.shape == shape and len(call.seen) > 1:
        return _meeting(frame, call)
    n = len(shape)
    dims = call["dim"]
    gone = set(range(n)) if dims is None or dims == [] else {d % n for d in _listed(dims, 1)}
    pooled = field.pooled or all(isinstance(a, Line) and (a.dim is None or a.dim in gone) for a in field.axes)
    field = replace(_reduced(frame, field, shape, gone), pooled=pooled)
    return field if call.out.ndim == n else _without(field, gone)


def _without(field: Field, gone: Collection[int]) -> Field:
    def shifted(axis):
        if isinstance(axis, Scattered):
            rest = [n for d, n in enumerate(axis.low.shape) if d not in gone]
            return Scattered(axis.low.reshape(rest), axis.high.reshape(rest), axis.slack)
        if axis.dim is None or axis.dim in gone:
            return axis._replace(dim=None)
        return axis._replace(dim=axis.dim - sum(g < axis.dim for g in gone))

    return replace(field, h=shifted(field.h), w=shifted(field.w))


def _joining(frame: Frame, call: Call) -> Field:
    """Concatenation: a union along other dimensions than height and width; there, one behind the other."""
    dim = (call["dim"] or 0) % call.out.ndim
    fields = {id(t.tensor): t.field for t in call.seen}
    parts = [(t.shape, fields.get(id(t))) for t in call["tensors"] if t.shape != (0,)]
    if call.op.name == "stack":
        parts = [
            (
                torch.Size([*s[:dim], 1, *s[dim:]]),
                f and replace(f, h=_inserted(f.h, dim), w=_inserted(f.w, dim)),
            )
            for s, f in parts
        ]
    pooled = all(field.pooled for field in fields.values())
    axes = []
    for index in (0, 1):
        own = [(field and field.axes[index], shape) for shape, field in parts]
        if any(isinstance(a, Scattered) or (a and a.dim == dim and a.stride) for a, _ in own):
            axes.append(_concatenated(frame, index, own, dim))
        else:
            axes.append(united(frame, index, [pair for pair in own if pair[0]], call.out.shape))
    return Field(*axes, pooled=pooled)


def _concatenated(frame: Frame, index: int, parts: list[tuple[Any, Shape]], dim: int) -> Line | Scattered:
    n = len(parts[0][1])
    nothing = Scattered(torch.full([1] * n, torch.inf), torch.full([1] * n, -torch.inf), 1)
    spread = [(spread_out(axis, shape) if axis else nothing, shape) for axis, shape in parts]
    most = [max(part.low.shape[d] for part, _ in spread) for d in range(n)]
    low, high = (
        torch.cat(
            [getattr(part, side).expand(*most[:dim], s[dim], *most[dim + 1 :]) for part, s in spread], dim
        )
        for side in ("low", "high")
    )
    return gathered(frame, index, Scattered(low, high, max(part.slack for part, _ in spread)))


def _inserted(axis, dim: int):
    if isinstance(axis, Scattered):
        return Scattered(axis.low.unsqueeze(dim), axis.high.unsqueeze(dim), axis.slack)
    return axis if axis.dim is None else axis._replace(dim=axis.dim + (axis.dim >= dim))


def _product(frame: Frame, call: Call) -> Field:
    """A product of matrices sums over the last dimension of the left factor, and of the right one but one."""
    left, right = [name for name in call.op.arguments if isinstance(call[name], Tensor)][-2:]
    seen = []
    for name, _, shape, field in call.seen:
        if name in (left, right):
            dim = max(len(shape) - 2, 0) if name == right else len(shape) - 1
            field = _reduced(frame, field, shape, {dim})
            if call.out.ndim < len(shape) or len(shape) == 1:
                field, shape = _without(field, {dim}), torch.Size([*shape[:dim], *shape[dim + 1 :]])
            else:
                shape = torch.Size([*shape[:dim], 1, *shape[dim + 1 :]])
        seen.append((shape, field))
    return _meet(frame, seen, call.out.shape)


# Windows


def _listed(value: Any, n: int) -> list[int]:
    """An int, or a sequence of one or n, as n ints."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * n if len(values) == 1 else values


def _windowed(
    frame: Frame, shape: Shape, field: Field, n: int, windows: list[tuple[int, ...]], mixes: bool
) -> Field:
    """A window (kernel, stride, padding, dilation) over each of the last n dimensions."""
    first = len(shape) - n
    axes = []
    for index, axis in enumerate(field.axes):
        if mixes or isinstance(axis, Scattered):  # a field is the union over the channels
            axis = summed(frame, index, axis, shape, {first - 1})
        if isinstance(axis, Line):
            inside = axis.dim is not None and axis.dim >= first
            axes.append(axis.window(*windows[axis.dim - first]) if inside else axis)
        elif all(w[:3] == (1, 1, 0) for w in windows):
            axes.append(axis)
        else:
            raise NoField("slides a window over values that see different places, not one after the other.")
    positions = prod(shape[a.dim] for a in field.axes if isinstance(a, Line) and a.dim is not None)
    return Field(*axes, pooled=field.pooled and positions == 1)


_FINER = "and on the finer grid that it makes, outputs see windows of different sizes."


def _convolution(frame: Frame, call: Call) -> Field:
    kernel = call["weight"].shape[2:]
    n = len(kernel)
    stride, padding, dilation = (_listed(call[name], n) for name in ("stride", "padding", "dilation"))
    main = _main(call)
    if main is None:
        raise NoField("is a convolution with weights from the image of what is not from it.")
    shape, field = main.shape, main.field
    if call["transposed"]:
        if any(s > 1 for s in stride) and any(isinstance(a, Scattered) or a.stride for a in field.axes):
            raise NoField(f"is a transposed convolution of stride {max(stride)}, {_FINER}")
        # With stride 1 it is a convolution whose padding makes up for the kernel.
        padding = [d * (k - 1) - p for k, p, d in zip(kernel, padding, dilation, strict=True)]
        stride = [1] * n
    windows = list(zip(kernel, stride, padding, dilation, strict=True))
    return _with_settings(frame, call, _windowed(frame, shape, field, n, windows, mixes=True))


def _pool_windows(call: Call) -> list[tuple[int, int, int, int]]:
    """Kernel, stride, padding and dilation along each dimension."""
    n = int(call.op.name.split("pool")[1][0])
    kernel = _listed(call["kernel_size"], n)
    stride = _listed(call["stride"], n) if call["stride"] else kernel
    rest = (_listed(0 if call["padding"] is None else call["padding"], n), _listed(call["dilation"] or 1, n))
    return list(zip(kernel, stride, *rest, strict=True))


def _pooling(frame: Frame, call: Call) -> Field:
    _, _, shape, field = call.seen[0]
    windows = _pool_windows(call)
    n = len(windows)
    pooled = _windowed(frame, shape, field, n, windows, mixes=False)
    sizes = shape[-n:]
    all_of_it = call.op.name.startswith("avg") and all(w[0] >= m for w, m in zip(windows, sizes, strict=True))
    return replace(pooled, pooled=pooled.pooled or all_of_it)


def _adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(frame: Frame, call: Call) -> Field:
    """Windows of equal size and step where they are; else the narrowest field that holds them all."""
    _, _, shape, field = call.seen[0]
    axes = []
    for index, axis in enumerate(field.axes):
        if isinstance(axis, Scattered):
            axis = summed(frame, index, axis, shape, range(1, len(shape)))
            if call.out.shape[-1] != 1:
                raise NoField("pools values that see different places, not one after the other.")
        elif axis.dim is not None and axis.stride:
            before, after = shape[axis.dim], call.out.shape[axis.dim]
            axis = (
                summed(frame, index, axis, shape, {axis.dim})
                if after == 1
                else _covering(axis, before, after)
            )
        axes.append(axis)
    return Field(*axes, pooled=True)


def _covering(axis: Line, positions: int, outputs: int) -> Line:
    if outputs > positions > 1:
        raise NoField(f"spreads {positions} positions over {outputs}, {_FINER}")
    windows = _adaptive_windows(positions, outputs)

    def cover(step: int) -> tuple[int, int, int]:
        start = min(low - i * step for i, (low, _) in enumerate(windows))
        return max(high - i * step for i, (_, high) in enumerate(windows)) - start, step, start

    size, step, start = min(cover(step) for step in (positions // outputs, -(-positions // outputs)))
    return axis.window(size, step, -start)


def _padding(frame: Frame, call: Call) -> Field:
    """Padding moves the start; filled with copies of pixels, it counts as if they were new ones."""
    _, _, shape, field = call.seen[0]
    pads = call["pad"] if call["pad"] is not None else call["padding"]
    before = dict(zip(range(len(shape) - 1, -1, -1), pads[::2], strict=False))
    if any(isinstance(axis, Scattered) for axis in field.axes):
        raise NoField("pads values that see different places, not one after the other.")
    axes = [axis.window(1, 1, before.get(axis.dim, 0)) for axis in field.axes]
    return replace(field, h=axes[0], w=axes[1])


# Which rule is whose

_POOLS = [f"{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)]
_POOLS += [f"max_pool{n}d_with_indices" for n in (2, 3)]
_ADAPTIVE = [
    f"{kind}_pool{n}d" for kind in ("_adaptive_avg", "adaptive_avg", "adaptive_max") for n in (1, 2, 3)
]
_REDUCTIONS = (
    "mean sum amax amin max min var std norm linalg_vector_norm logsumexp median prod argmax argmin any all"
)
_PRODUCTS = "mm bmm addmm baddbmm mv addmv dot vdot"
_MOVES = (
    "_unsafe_view index index_select flip roll repeat unsafe_split unsafe_split_with_sizes pixel_unshuffle"
)
_MOVES += " pixel_shuffle channel_shuffle"
_COPIES = "clone _to_copy contiguous native_dropout lift_fresh hardswish log_sigmoid_forward rrelu_with_noise tril triu"


def _refusing(frame: Frame, call: Call) -> Field:
    raise NoField(f"computes {call.op.name}, whose receptive field is not known here.")


RULES: dict[str, Rule] = {
    name: rule
    for names, rule in (
        (_COPIES, _meeting),
        ("copy", _copying),
        ("as_strided", _refusing),
        (_MOVES, _moving),
        ("cat stack", _joining),
        (_PRODUCTS, _product),
        ("convolution", _convolution),
        (" ".join(_POOLS), _pooling),
        (" ".join(_ADAPTIVE), _adaptive),
        (_REDUCTIONS, _reducing),
        (
            "constant_pad_nd "
            + " ".join(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)),
            _padding,
        ),
        (
            " ".join(
                f"{way}{n}d" for way in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)
            ),
            _resizing,
        ),
        (
            "upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d "
            "_upsample_bilinear2d_aa _upsample_bicubic2d_aa",
            _resizing,
        ),
        ("_softmax _log_softmax _safe_softmax glu", _mixing(_along)),
        (
            "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training",
            _mixing(_statistics),
        ),
        (
            "native_layer_norm _fused_rms_norm",
            _mixing(lambda call, shape: range(len(shape) - len(call["normalized_shape"]), len(shape))),
        ),
        ("native_group_norm", _mixing(lambda call, shape: range(1, len(shape)))),
    )
    for name in names.split()
}


# --- What it costs ----------------------------------------------------------------------------------------

# They move, pick or compare values and multiply nothing (or as little as an interpolation).
_FREE = frozenset(
    [
        "topk",
        "sort",
        "argsort",
        "gather",
        "scatter",
        "scatter_add",
        "index_add",
        "index_put",
        "_index_put_impl",
        "searchsorted",
        "bucketize",
        "embedding",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "tril",
        "triu",
        "im2col",
        "col2im",
        "max_unpool2d",
        "grid_sampler_2d",
        "grid_sampler_3d",
        "one_hot",
        "fill",
        "zero",
        "rand_like",
        "randn_like",
        "bernoulli",
        "uniform",
        "normal",
        "copy",
        "isin",
        "unique",
        "rot90",
        "as_strided",
        "var_mean",
        "std_mean",
        "aminmax",
        "nan_to_num",
        "logcumsumexp",
        "diff",
        "roi_align",
        "nms",
    ]
)


def macs_of(call: Call) -> int | None:
    """Multiply-adds of a call, biases not counted; None where they are not known.

    Those of attention's own kernels are torch's (`torch.utils.flop_counter`).
    """
    name, out = call.op.name, call.out
    if name in ("convolution", "deform_conv2d"):
        over = call["input"] if call["transposed"] else out
        return over.numel() * prod(call["weight"].shape[1:])
    if name in _PRODUCTS.split() or name in ("addbmm", "outer", "addr"):
        left, right = [call[n] for n in call.op.arguments if isinstance(call[n], Tensor)][-2:]
        return left.numel() * (right.shape[-1] if right.ndim > 1 or name in ("addr", "outer") else 1)
    if call.op.is_view or call.op.is_pointwise or name in RULES or name in _FREE:
        return 0
    from torch.utils.flop_counter import flop_registry

    count = flop_registry.get(call.func.overloadpacket)
    return count and count(**call.given, out_val=out) // 2


def windows_of(call: Call) -> int:
    """The (input, output) pairs that a pooling operation joins, pairs with padding included."""
    name, out = call.op.name, call.out
    if name in _POOLS:
        return out.numel() * prod(window[0] for window in _pool_windows(call))
    if name in _ADAPTIVE:
        n = int(name.split("pool")[1][0])
        before, after = call.seen[0].shape[-n:], out.shape[-n:]
        spans = [
            sum(b - a for a, b in _adaptive_windows(*sizes)) for sizes in zip(before, after, strict=True)
        ]
        return prod(out.shape[:-n]) * prod(spans)
    return prod(call.seen[0].shape) if name in _REDUCTIONS.split() else 0


SPLITS = ("unsafe_split", "unsafe_split_with_sizes")


def summarises(call: Call) -> bool:
    """Whether a single position is left of all those of an image."""
    shape = call.out.shape
    if call.op.name in _ADAPTIVE:
        return shape[-1] == 1
    if call.op.name in _REDUCTIONS.split():
        return call.seen[0].shape.numel() > shape.numel() and all(n == 1 for n in shape[2:])
    return call.op.is_view and len(shape) == 2 and shape[0] == 1 and len(call.seen[0].shape) > 2


# Their result has the shape of their input and nothing else of it.
CREATES = frozenset(f"{value}_like" for value in ("zeros", "ones", "empty", "full", "rand", "randn"))
CREATES |= {f"new_{value}" for value in ("zeros", "ones", "empty", "full", "empty_strided")}
CREATES |= {"zero", "fill"}
