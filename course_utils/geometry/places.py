"""Where values go: what the elements of a tensor see once an operation has moved, joined or summed them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.geometry.fields import Field, Frame, Line, NoField, ReceptiveField
from course_utils.geometry.sizes import Shape

Axis = "Line | Scattered"
_MOST = 2**25  # numbers that stand for one axis of a tensor
_MANY = "has more values than can be followed one by one."


@dataclass(frozen=True, eq=False)
class Scattered:
    """Windows [low, high) that no single line describes; both broadcast to the tensor's shape.

    `slack` is the stride that they had as a line.
    """

    low: Tensor
    high: Tensor
    slack: int


def spread_out(axis: Axis, shape: Shape) -> Scattered:
    """An axis as numbers that broadcast to `shape`."""
    if isinstance(axis, Scattered):
        return axis
    low = torch.full([1] * len(shape), float(axis.start))
    if axis.dim is not None and axis.stride:
        sizes = [n if d == axis.dim else 1 for d, n in enumerate(shape)]
        low = axis.start + axis.stride * torch.arange(shape[axis.dim], dtype=torch.float32).reshape(sizes)
    return Scattered(low, low + axis.size, axis.stride)


def gathered(frame: Frame, index: int, axis: Scattered) -> Axis:
    """The line that the windows lie on, where there is one."""
    low, high = axis.low, axis.high
    for dim, n in enumerate(low.shape):
        if n > 1 and all(not t.stride(dim) or bool((t == t.narrow(dim, 0, 1)).all()) for t in (low, high)):
            low, high = low.narrow(dim, 0, 1), high.narrow(dim, 0, 1)
    dims = [dim for dim, n in enumerate(low.shape) if n > 1]
    start, size = low.flatten()[0].item(), (high - low).flatten()
    if not dims and size.isfinite().all():
        return frame.between(index, int(start), int(high.flatten()[0]), 1)
    if len(dims) == 1 and size.isfinite().all() and (size == size[0]).all():
        steps = low.flatten().diff()
        if steps[0] > 0 and (steps == steps[0]).all():
            return Line(dims[0], int(start), int(size[0]), int(steps[0]))
    return Scattered(low, high, axis.slack)


def summed(frame: Frame, index: int, axis: Axis, shape: Shape, dims: Collection[int]) -> Axis:
    """The axis once every output depends on all positions along these dimensions."""
    if isinstance(axis, Line):
        if axis.dim not in dims:
            return axis
        end = axis.start + (shape[axis.dim] - 1) * axis.stride + axis.size
        return frame.between(index, axis.start, end, axis.stride, axis.dim)
    over = [d for d in dims if axis.low.shape[d] > 1]
    if not over:
        return axis
    low, high = axis.low.amin(over, True), axis.high.amax(over, True)
    if low.numel() == 1 and low.isfinite().all():
        return frame.between(index, int(low), int(high), axis.slack)
    return gathered(frame, index, Scattered(low, high, axis.slack))


def united(frame: Frame, index: int, branches: list[tuple[Axis, Shape]], shape: Shape) -> Axis:
    """Element by element: the union of what the branches see, a size of one stretched over the others."""
    lines = [_aligned(axis, given, shape) for axis, given in branches]
    if len(set(lines)) == 1:
        return lines[0]
    dims = {axis.dim for axis in lines if isinstance(axis, Line) and axis.dim is not None}
    if any(frame.is_whole(index, axis) for axis in lines):
        return frame.whole(index, max(dims, default=None))
    if all(isinstance(axis, Line) for axis in lines) and len(dims) <= 1:
        dim, strides = max(dims, default=None), {axis.stride for axis in lines}
        # With a single position there is no second one that the stride could lead to.
        if len(strides) > 1 and dim is not None and shape[dim] > 1:
            found = " and ".join(map(str, sorted(strides)))
            raise NoField(f"joins branches that step differently over the input (strides {found}).")
        start = min(axis.start for axis in lines)
        return Line(dim, start, max(axis.start + axis.size for axis in lines) - start, max(strides))
    all_out = [spread_out(axis, shape) for axis in lines]
    low, high = all_out[0].low, all_out[0].high
    for other in all_out[1:]:
        if torch.broadcast_shapes(low.shape, other.low.shape).numel() > _MOST:
            raise NoField(_MANY)
        low, high = torch.minimum(low, other.low), torch.maximum(high, other.high)
    return gathered(frame, index, Scattered(low, high, max(axis.slack for axis in all_out)))


def _aligned(axis: Axis, given: Shape, shape: Shape) -> Axis:
    """The axis of a tensor as an axis of what it is broadcast to."""
    more = len(shape) - len(given)
    if isinstance(axis, Scattered):
        sizes = [1] * more + list(axis.low.shape)
        return Scattered(axis.low.reshape(sizes), axis.high.reshape(sizes), axis.slack) if more else axis
    if axis.dim is None:
        return axis._replace(stride=0)
    dim = axis.dim + more
    stretched = given[axis.dim] == 1 and shape[dim] > 1
    return axis._replace(dim=dim, stride=0 if stretched else axis.stride)


def moved(
    frame: Frame, index: int, axis: Axis, shape: Shape, move: Callable[[Tensor], Tensor], is_view: bool
) -> Axis:
    """The axis behind an operation that only moves values, found by letting it move the row numbers."""
    if isinstance(axis, Line):
        if axis.dim is None:
            return axis
        found = _moved_line(frame, index, axis, shape, move) if is_view else None
        if found is not None:
            return found
        if axis.stride == 0:
            return axis._replace(dim=None)
    scattered = spread_out(axis, shape)
    if shape.numel() > _MOST:
        raise NoField(_MANY)
    low = _applied(move, scattered.low.expand(shape))
    if isinstance(axis, Line):  # all windows are equally large
        return gathered(frame, index, Scattered(low, low + axis.size, axis.stride))
    return gathered(frame, index, Scattered(low, _applied(move, scattered.high.expand(shape)), axis.slack))


def _applied(move: Callable[[Tensor], Tensor], numbers: Tensor) -> Tensor:
    try:
        return move(numbers)
    except RuntimeError:  # a view for which they must lie one behind the other
        return move(numbers.contiguous())


def _moved_line(
    frame: Frame, index: int, axis: Line, shape: Shape, move: Callable[[Tensor], Tensor]
) -> Line | None:
    """A view of a tensor whose addresses are the row numbers: its offset and its strides say where rows went."""
    steps = [int(d == axis.dim) for d in range(len(shape))]
    try:
        view = move(torch.empty_strided(shape, steps, device="meta"))
    except RuntimeError:  # no view: rows and other things end up in one dimension
        return None
    single = shape[axis.dim] == 1
    start = axis.start + view.storage_offset() * axis.stride
    dims = [
        d for d, n in enumerate(view.shape) if view.stride(d) and (n > 1 or (single and (d or not axis.dim)))
    ]
    if not dims:
        return frame.between(index, start, start + axis.size, axis.stride)
    if single:
        return axis._replace(dim=axis.dim if axis.dim in dims else dims[-1])
    return Line(dims[0], start, axis.size, axis.stride * view.stride(dims[0])) if len(dims) == 1 else None


def public(frame: Frame, field: Field, shape: Shape) -> ReceptiveField:
    """The field of a tensor as a single size and stride; a vector of features sees what they see together.

    Raises NoField where its outputs see windows that are not evenly spaced.
    """
    axes = []
    for index, axis in enumerate(field.axes):
        if isinstance(axis, Scattered):
            vector = len(shape) == 2 and shape[0] == 1
            axis = summed(frame, index, axis, torch.Size(shape), range(len(shape)) if vector else {1})
        if isinstance(axis, Scattered):
            raise NoField("has outputs that see windows of different places, not evenly spaced.")
        axes.append(axis)
    size, stride, start = ((getattr(axes[0], n), getattr(axes[1], n)) for n in ("size", "stride", "start"))
    return ReceptiveField(size, stride, start)
