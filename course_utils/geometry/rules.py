"""For each function of torch: what its outputs see, from what its inputs see."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from typing import Any

from course_utils.geometry.fields import Axis, Field, Frame, NoField
from course_utils.geometry.functions import (
    ACTIVATIONS,
    ADAPTIVE_POOLS,
    ARITHMETIC,
    ATTENTION,
    CONVS,
    COPIES,
    DROPOUTS,
    JOINS,
    PERMUTES,
    POOLS,
    PRODUCTS,
    PRODUCTS_OF_TWO,
    REDUCTIONS,
    RESHAPES,
    RESIZES,
    SPLITS,
    SPREADS,
    SUMS,
    TRANSPOSED,
)
from course_utils.geometry.sizes import Shape
from course_utils.geometry.trace import Call, Ref

Inputs = list[tuple[Ref, Field]]  # the tensors that come from the image
Rule = Callable[[Frame, Call, Inputs], Field]


def _meet(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Element by element: the union of what the inputs see, a size of one stretched over the others."""
    shape = call.outputs[0].shape
    axes = []
    for index in (0, 1):
        branches = [_aligned(ref, field.axes[index], shape) for ref, field in inputs]
        axes.append(_union(frame, index, branches, shape))
    return Field(*axes, pooled=all(field.pooled for _, field in inputs))


def _aligned(ref: Ref, axis: Axis, shape: Shape) -> Axis:
    """The axis of a tensor as an axis of what it is broadcast to."""
    if axis.dim is None:
        return axis._replace(stride=0)
    dim = axis.dim + len(shape) - len(ref.shape)
    stretched = ref.shape[axis.dim] == 1 and shape[dim] > 1
    return axis._replace(dim=dim, stride=0 if stretched else axis.stride)


def _union(frame: Frame, index: int, branches: list[Axis], shape: Shape) -> Axis:
    dims = {axis.dim for axis in branches if axis.dim is not None}
    dim = max(dims, default=None)
    if any(frame.is_whole(index, axis) for axis in branches):
        return frame.whole(index, dim)
    strides = {axis.stride for axis in branches}
    # With a single position there is no second one that the stride could lead to.
    if len(dims) > 1 or (len(strides) > 1 and shape[dim] > 1):
        found = " and ".join(map(str, sorted(strides)))
        raise NoField(f"joins branches that step differently over the input (strides {found}).")
    start = min(axis.start for axis in branches)
    end = max(axis.start + axis.size for axis in branches)
    return Axis(dim, start, end - start, max(strides))


def _join(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Concatenation: along channels a union; along height or width there is no single start."""
    dim = call.bind("tensors dim").get("dim", call.kwargs.get("axis", 0)) % len(call.outputs[0].shape)
    stacked = call.function == "stack"
    for _, field in inputs:
        for index, axis in enumerate(field.axes):
            if axis.dim == dim and not stacked and len(call.inputs) > 1 and not frame.is_whole(index, axis):
                raise NoField(
                    "joins feature maps side by side, so its outputs see windows of different places."
                )
    if stacked:
        inputs = [(_with_dim(ref, dim), _inserted(field, dim)) for ref, field in inputs]
    return _meet(frame, call, inputs)


def _with_dim(ref: Ref, dim: int) -> Ref:
    return replace(ref, shape=(*ref.shape[:dim], 1, *ref.shape[dim:]))


def _inserted(field: Field, dim: int) -> Field:
    return _renumber(field, lambda d: d + (d >= dim))


def _renumber(field: Field, new_dim: Callable[[int], int | None]) -> Field:
    axes = [a if a.dim is None else a._replace(dim=new_dim(a.dim)) for a in field.axes]
    return replace(field, h=axes[0], w=axes[1])


def _contracting(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Linear layers mix the last dimension; a product of two feature maps mixes everything."""
    ref, field = inputs[0]
    if len(inputs) > 1 or len(ref.shape) != len(call.outputs[0].shape) or call.inputs[0] != ref:
        return frame.everything()
    return _mixed(frame, field, {len(ref.shape) - 1})


def _mixed(frame: Frame, field: Field, dims: Iterable[int]) -> Field:
    """The field once every output depends on all positions along these dimensions."""
    axes = [frame.whole(i, a.dim) if a.dim in dims else a for i, a in enumerate(field.axes)]
    return replace(field, h=axes[0], w=axes[1])


def _windowed(frame: Frame, ref: Ref, field: Field, settings: list[dict[str, int]]) -> Field:
    """A window over the last dimensions, one dict of `Axis.window`'s arguments for each."""
    first = len(ref.shape) - len(settings)
    axes = []
    for index, axis in enumerate(field.axes):
        if axis.dim is None or axis.dim < first - 1:
            axes.append(axis)
        elif axis.dim == first - 1:  # the dimension that takes the place of the channels
            axes.append(frame.whole(index, axis.dim))
        else:
            axes.append(axis.window(**settings[axis.dim - first]))
    positions = prod(ref.shape[axis.dim] for axis in field.axes if axis.dim is not None)
    return Field(*axes, pooled=field.pooled and positions == 1)


def _convolution(frame: Frame, call: Call, inputs: Inputs) -> Field:
    given = call.bind("input weight bias stride padding dilation groups", stride=1, padding=0, dilation=1)
    kernel = given["weight"].shape[2:]
    n = len(kernel)
    dilation = spread(given["dilation"], n)
    if given["padding"] == "same":
        padding = [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
    else:
        padding = spread(0 if given["padding"] == "valid" else given["padding"], n)
    return _windowed(frame, *inputs[0], _settings(kernel, spread(given["stride"], n), padding, dilation))


def _settings(*columns: Iterable[int]) -> list[dict[str, int]]:
    names = ("kernel", "stride", "padding", "dilation")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def spread(value: Any, n: int) -> list[int]:
    """An int, or a sequence of one or n, as n ints."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * n if len(values) == 1 else values


def _transposed(frame: Frame, call: Call, inputs: Inputs) -> Field:
    names = "input weight bias stride padding output_padding groups dilation"
    given = call.bind(names, stride=1, padding=0, dilation=1)
    kernel = given["weight"].shape[2:]
    stride, padding, dilation = (
        spread(given[name], len(kernel)) for name in ("stride", "padding", "dilation")
    )
    if any(s > 1 for s in stride) and any(axis.stride for axis in inputs[0][1].axes):
        raise NoField(f"is a transposed convolution of stride {max(stride)}, {_FINER}")
    # With stride 1 it is a convolution whose padding makes up for the kernel.
    padding = [d * (k - 1) - p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    return _windowed(frame, *inputs[0], _settings(kernel, [1] * len(kernel), padding, dilation))


_FINER = "and on the finer grid that it makes, outputs see windows of different sizes."


def pool_window(call: Call) -> dict[str, Any] | None:
    """Kernel, stride, padding and dilation of a pooling call, each as a list; None for adaptive pooling."""
    if call.function.startswith("adaptive"):
        return None
    kind, n = call.function.split("_")[0], int(call.function.split("pool")[1][0])
    names = {
        "max": "input kernel_size stride padding dilation ceil_mode",
        "avg": "input kernel_size stride padding ceil_mode",
        "lp": "input norm_type kernel_size stride ceil_mode",
    }[kind]
    given = call.bind(names, stride=None, padding=0, dilation=1)
    kernel = spread(given["kernel_size"], n)
    stride = spread(given["stride"], n) if given["stride"] else kernel
    return {
        "kernel": kernel,
        "stride": stride,
        "padding": spread(given["padding"], n),
        "dilation": spread(given["dilation"], n),
    }


def _pooling(frame: Frame, call: Call, inputs: Inputs) -> Field:
    window = pool_window(call)
    ref, field = inputs[0]
    n = len(window["kernel"])
    # Pooling keeps channels apart: what stands in their place is not mixed.
    settings = [{"kernel": 1}, *_settings(*window.values())]
    pooled = _windowed(frame, ref, field, settings)
    averages_all = call.function.startswith("avg") and all(
        k >= size for k, size in zip(window["kernel"], ref.shape[-n:], strict=True)
    )
    return replace(pooled, pooled=pooled.pooled or averages_all)


def adaptive_windows(positions: int, outputs: int) -> list[tuple[int, int]]:
    """Half-open window of each output of adaptive pooling, as torch places them."""
    return [(i * positions // outputs, -(-(i + 1) * positions // outputs)) for i in range(outputs)]


def _adaptive(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Windows of equal size and step where they are; else the narrowest field that holds them all."""
    ref, field = inputs[0]
    out = call.outputs[0].shape
    axes = []
    for index, axis in enumerate(field.axes):
        if axis.dim is None or axis.stride == 0:
            axes.append(axis)
        elif out[axis.dim] == 1:
            axes.append(frame.whole(index, axis.dim))
        else:
            axes.append(_covering(axis, ref.shape[axis.dim], out[axis.dim]))
    return Field(*axes, pooled=True)


def _covering(axis: Axis, positions: int, outputs: int) -> Axis:
    if outputs > positions > 1:
        raise NoField(f"spreads {positions} positions over {outputs}, {_FINER}")
    windows = adaptive_windows(positions, outputs)

    def cover(step: int) -> tuple[int, int, int]:
        start = min(low - i * step for i, (low, _) in enumerate(windows))
        return max(high - i * step for i, (_, high) in enumerate(windows)) - start, step, start

    size, step, start = min(cover(step) for step in (positions // outputs, -(-positions // outputs)))
    return axis.window(size, step, -start)


def _resized(frame: Frame, call: Call, inputs: Inputs) -> Field:
    ref, field = inputs[0]
    mode = call.bind("input size scale_factor mode").get("mode", "nearest")
    axes = []
    for axis in field.axes:
        before, after = (s.shape[axis.dim] if axis.dim is not None else 1 for s in (ref, call.outputs[0]))
        if before == after or axis.stride == 0 or before == 1:
            axes.append(axis._replace(stride=axis.stride if before == after else 0))
        elif before % after == 0 and mode == "nearest":
            axes.append(axis.window(1, before // after))
        else:
            raise NoField(
                f"resizes {before} positions to {after}, and what its outputs see is not evenly spaced."
            )
    return replace(field, h=axes[0], w=axes[1])


def _padded(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Padding moves the start; filled with copies of pixels, it counts as if they were new ones."""
    ref, field = inputs[0]
    pads = call.bind("input pad")["pad"]
    before = dict(zip(range(len(ref.shape) - 1, -1, -1), pads[::2], strict=False))
    axes = [axis.window(1, padding=before.get(axis.dim, 0)) for axis in field.axes]
    return replace(field, h=axes[0], w=axes[1])


def _reduced(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Mean, sum, maximum and the like over some dimensions, or two tensors' maximum."""
    ref, field = inputs[0]
    names = "input ord dim keepdim" if call.function in ("norm", "vector_norm") else "input dim keepdim"
    dims = call.bind(names).get("dim", call.kwargs.get("axis"))
    if isinstance(dims, Ref) or len(inputs) > 1:
        return _meet(frame, call, inputs)
    n = len(ref.shape)
    gone = set(range(n)) if dims is None else {d % n for d in spread(dims, 1)}
    axes = [frame.whole(i, a.dim) if a.dim in gone else a for i, a in enumerate(field.axes)]
    pooled = field.pooled or all(a.dim is None or a.dim in gone for a in field.axes)
    field = Field(*axes, pooled=pooled)
    if len(call.outputs[0].shape) == n:
        return field
    return _renumber(field, lambda d: None if d in gone else d - sum(g < d for g in gone))


def _over_dim(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Softmax, normalisation or a running sum along one dimension."""
    names = "input p dim" if call.function == "normalize" else "input dim"
    dims = call.bind(names).get("dim")
    dims = 1 if dims is None else dims
    ref, field = inputs[0]
    return _mixed(frame, field, {d % len(ref.shape) for d in spread(dims, 1)})


def _layer_norm(frame: Frame, call: Call, inputs: Inputs) -> Field:
    ref, field = inputs[0]
    last = len(spread(call.bind("input normalized_shape")["normalized_shape"], 1))
    return _mixed(frame, field, range(len(ref.shape) - last, len(ref.shape)))


def _over_space(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Group and instance normalisation use the mean over the whole map; stored statistics do not."""
    names = "input running_mean running_var weight bias measure"
    measures = {
        "batch_norm": call.bind(names, measure=call.kwargs.get("training", False))["measure"],
        "instance_norm": call.bind(names, measure=call.kwargs.get("use_input_stats", True))["measure"],
        "group_norm": True,
    }[call.function]
    ref, field = inputs[0]
    return _mixed(frame, field, range(len(ref.shape))) if measures else field


def _permuted(frame: Frame, call: Call, inputs: Inputs) -> Field:
    ref, field = inputs[0]
    n = len(ref.shape)
    order = list(range(n))
    if call.function == "permute":
        given = call.args[1:] if len(call.args) > 1 else (call.kwargs["dims"],)
        order = [d % n for d in (given[0] if isinstance(given[0], tuple | list) else given)]
    elif call.function in ("T", "t", "mT"):
        order = order[::-1] if call.function != "mT" else [*order[:-2], order[-1], order[-2]]
    else:
        given = call.bind("input dim0 dim1")
        a, b = (given.get(name, call.kwargs.get(f"axis{name[-1]}")) % n for name in ("dim0", "dim1"))
        order[a], order[b] = order[b], order[a]
    return _renumber(field, order.index)


def _reshaped(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """A new shape: height or width lives on where a dimension of its size stands in its place."""
    ref, field = inputs[0]
    old, new = ref.shape, call.outputs[0].shape
    axes = []
    for index, axis in enumerate(field.axes):
        kept = None
        if axis.dim is not None:
            before = prod(old[: axis.dim])
            kept = [d for d, n in enumerate(new) if n == old[axis.dim] and prod(new[:d]) == before]
        axes.append(axis._replace(dim=kept[-1]) if kept else frame.whole(index, None))
    gone = all(axis.dim is None for axis in axes)
    # Two dimensions of size 1 look alike: keep height before width.
    if not gone and axes[0].dim == axes[1].dim:
        axes[0] = axes[0]._replace(dim=axes[1].dim - 1) if len(kept) > 1 else frame.whole(0, None)
    return Field(*axes, pooled=field.pooled or any(axis.dim is None for axis in axes))


def _indexed(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """x[...] with slices and integers."""
    ref, field = inputs[0]
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if any(isinstance(item, Ref | list) for item in index):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    taken = sum(item is not None and item is not Ellipsis for item in index)
    if Ellipsis not in index:
        index = (*index, Ellipsis)
    at = index.index(Ellipsis)
    rest = (slice(None),) * (len(ref.shape) - taken)
    changes: dict[int, Callable[[Axis], Axis]] = {}
    old = new = 0
    for item in (*index[:at], *rest, *index[at + 1 :]):
        if item is None:
            new += 1
            continue
        changes[old] = _picked(item, ref.shape[old], new)
        new, old = new + isinstance(item, slice), old + 1
    axes = [a if a.dim is None else changes[a.dim](a) for a in field.axes]
    return replace(field, h=axes[0], w=axes[1])


def _picked(item: Any, extent: int, dim: int) -> Callable[[Axis], Axis]:
    if isinstance(item, slice):
        first, _, step = item.indices(extent)
        return lambda axis: axis.window(1, step, -first)._replace(dim=dim)
    return lambda axis: axis.window(1, 0, -(int(item) % extent))._replace(dim=None)


def _split(frame: Frame, call: Call, inputs: Inputs) -> Field:
    """Chunks of the channels: each counts as seeing what all channels see."""
    ref, field = inputs[0]
    dim = call.bind("input sections dim", dim=0)["dim"] % len(ref.shape)
    for index, axis in enumerate(field.axes):
        if axis.dim == dim and not frame.is_whole(index, axis):
            raise NoField("cuts the feature map into pieces that see different places.")
    if call.function == "unbind":
        return _renumber(field, lambda d: None if d == dim else d - (d > dim))
    return field


def _narrowed(frame: Frame, call: Call, inputs: Inputs) -> Field:
    ref, field = inputs[0]
    given = call.bind("input dim start")
    dim = given["dim"] % len(ref.shape)
    axes = [a.window(1, padding=-given["start"]) if a.dim == dim else a for a in field.axes]
    return replace(field, h=axes[0], w=axes[1])


def _unshuffled(frame: Frame, call: Call, inputs: Inputs) -> Field:
    factor = call.bind("input downscale_factor")["downscale_factor"]
    return _windowed(frame, *inputs[0], _settings(*[(factor,) * 2] * 2, (0, 0), (1, 1)))


def _all_of_it(frame: Frame, call: Call, inputs: Inputs) -> Field:
    return frame.everything()


def _table(*entries: tuple[Iterable[str], Rule]) -> dict[str, Rule]:
    return {name: rule for names, rule in entries for name in names}


RULES = _table(
    (ACTIVATIONS | DROPOUTS | ARITHMETIC | COPIES | SPREADS | SUMS | PRODUCTS_OF_TWO, _meet),
    (("local_response_norm",), _meet),
    (JOINS, _join),
    (CONVS, _convolution),
    (TRANSPOSED, _transposed),
    (POOLS, _pooling),
    (ADAPTIVE_POOLS, _adaptive),
    (RESIZES, _resized),
    (("pad",), _padded),
    (REDUCTIONS, _reduced),
    (("softmax", "log_softmax", "softmin", "normalize", "cumsum"), _over_dim),
    (("layer_norm", "rms_norm"), _layer_norm),
    (("batch_norm", "instance_norm", "group_norm"), _over_space),
    (PERMUTES, _permuted),
    (RESHAPES, _reshaped),
    (("getitem",), _indexed),
    (SPLITS, _split),
    (("narrow",), _narrowed),
    (("pixel_unshuffle",), _unshuffled),
    (PRODUCTS | {"linear"}, _contracting),
    (ATTENTION, _all_of_it),
)
