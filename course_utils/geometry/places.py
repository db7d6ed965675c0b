"""Where values go along one axis of the image: what a tensor's elements see once they are moved, joined or summed.

An axis of a tensor is a `Line`, or `Scattered` windows where no line describes them; `extent` is the image's size.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.geometry.fields import Field, Line, NoField, ReceptiveField
from course_utils.geometry.sizes import Shape

_MOST = 2**25  # numbers that stand for one axis of a tensor


@dataclass(frozen=True, eq=False)
class Scattered:
    """Windows [low, high), of the tensor's shape or broadcast to it; `slack` is the stride that they had as a line."""

    low: Tensor
    high: Tensor
    slack: int

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(d for d, n in enumerate(self.low.shape) if n > 1)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Scattered":
        return Scattered(change(self.low), change(self.high), self.slack)


Axis = Line | Scattered


def between(extent: int, low: int, high: int, slack: int, dim: int | None = None) -> Line:
    """An axis whose every output sees [low, high): all of the image, but for what no window reaches.

    A margin narrower than the stride, `slack`, at which the next window would not fit, counts as seen.
    """
    if low <= 0 and high > extent - max(slack, 1):
        return Line(dim, 0, extent, 0)
    return Line(dim, low, high - low, 0)


def is_whole(extent: int, axis: Axis) -> bool:
    return (
        isinstance(axis, Line) and axis.stride == 0 and axis.start <= 0 and axis.start + axis.size >= extent
    )


def spread_out(axis: Axis | None, shape: Shape) -> Scattered:
    """An axis as numbers that broadcast to `shape`; None sees nothing."""
    if isinstance(axis, Scattered):
        return axis
    one = torch.ones([1] * len(shape))
    if axis is None:
        return Scattered(one * torch.inf, one * -torch.inf, 1)
    if axis.dim is None or not axis.stride:
        return Scattered(one * axis.start, one * (axis.start + axis.size), axis.stride)
    sizes = [n if d == axis.dim else 1 for d, n in enumerate(shape)]
    low = axis.start + axis.stride * torch.arange(shape[axis.dim], dtype=torch.float32).reshape(sizes)
    return Scattered(low, low + axis.size, axis.stride)


def gathered(extent: int, axis: Scattered) -> Axis:
    """The line that the windows lie on, where there is one."""
    for dim, n in enumerate(axis.low.shape):
        if n > 1 and all(
            not t.stride(dim) or (t == t.narrow(dim, 0, 1)).all() for t in (axis.low, axis.high)
        ):
            axis = axis.each(lambda t, dim=dim: t.narrow(dim, 0, 1))
    dims = axis.dims
    low, size = axis.low.flatten(), (axis.high - axis.low).flatten()
    if len(dims) > 1 or not size.isfinite().all() or (size != size[0]).any():
        return axis
    if not dims:
        return between(extent, int(low[0]), int(low[0] + size[0]), 1)
    steps = low.diff()
    if steps[0] <= 0 or (steps != steps[0]).any():
        return axis
    return Line(dims[0], int(low[0]), int(size[0]), int(steps[0]))


def summed(extent: int, axis: Axis, shape: Shape, dims: Collection[int]) -> Axis:
    """The axis once every output depends on all positions along these dimensions."""
    if isinstance(axis, Line):
        if axis.dim not in dims:
            return axis
        end = axis.start + (shape[axis.dim] - 1) * axis.stride + axis.size
        return between(extent, axis.start, end, axis.stride, axis.dim)
    over = [d for d in dims if axis.low.shape[d] > 1]
    if not over:
        return axis
    low, high = axis.low.amin(over, True), axis.high.amax(over, True)
    if low.numel() == 1 and low.isfinite().all():
        return between(extent, int(low), int(high), axis.slack)
    return gathered(extent, Scattered(low, high, axis.slack))


def renumbered(axis: Axis | None, gone: Collection[int] = (), new: int | None = None) -> Axis | None:
    """The axis of a tensor without some dimensions (of one position each), or with a new one."""
    if axis is None or (isinstance(axis, Line) and axis.dim is None):
        return axis
    if isinstance(axis, Scattered):
        if new is not None:
            return axis.each(lambda t: t.unsqueeze(new))
        return axis.each(lambda t: t.reshape([n for d, n in enumerate(t.shape) if d not in gone]))
    if axis.dim in gone:
        return axis._replace(dim=None)
    return axis._replace(
        dim=axis.dim - sum(g < axis.dim for g in gone) + (new is not None and axis.dim >= new)
    )


def united(extent: int, branches: list[tuple[Axis, Shape]], shape: Shape) -> Axis:
    """Element by element: the union of what the branches see, a size of one stretched over the others."""
    axes = [_aligned(axis, given, shape) for axis, given in branches]
    if len(set(axes)) == 1:
        return axes[0]
    dims = {axis.dim for axis in axes if isinstance(axis, Line) and axis.dim is not None}
    dim = max(dims, default=None)
    if any(is_whole(extent, axis) for axis in axes):
        return Line(dim, 0, extent, 0)
    if all(isinstance(axis, Line) for axis in axes) and len(dims) <= 1:
        strides = {axis.stride for axis in axes}
        # With a single position there is no second one that the stride could lead to.
        if len(strides) > 1 and dim is not None and shape[dim] > 1:
            found = " and ".join(map(str, sorted(strides)))
            raise NoField(f"joins branches that step differently over the input (strides {found}).")
        start = min(axis.start for axis in axes)
        return Line(dim, start, max(axis.start + axis.size for axis in axes) - start, max(strides))
    spread = [spread_out(axis, shape) for axis in axes]
    if torch.broadcast_shapes(*(part.low.shape for part in spread)).numel() > _MOST:
        raise NoField("joins more values than can be followed one by one.")
    low, high = spread[0].low, spread[0].high
    for part in spread[1:]:
        low, high = torch.minimum(low, part.low), torch.maximum(high, part.high)
    return gathered(extent, Scattered(low, high, max(part.slack for part in spread)))


def _aligned(axis: Axis, given: Shape, shape: Shape) -> Axis:
    """The axis of a tensor as an axis of what it is broadcast to."""
    more = len(shape) - len(given)
    if isinstance(axis, Scattered):
        return axis.each(lambda t: t.reshape([1] * more + list(t.shape))) if more else axis
    if axis.dim is None:
        return axis._replace(stride=0)
    stretched = given[axis.dim] == 1 and shape[axis.dim + more] > 1
    return axis._replace(dim=axis.dim + more, stride=0 if stretched else axis.stride)


def concatenated(extent: int, parts: list[tuple[Axis | None, Shape]], dim: int) -> Axis:
    """One behind the other along a dimension along which they see different places."""
    spread = [(spread_out(axis, shape), shape[dim]) for axis, shape in parts]
    most = torch.broadcast_shapes(
        *([*part.low.shape[:dim], 1, *part.low.shape[dim + 1 :]] for part, _ in spread)
    )
    low, high = (
        torch.cat([getattr(part, side).expand(*most[:dim], n, *most[dim + 1 :]) for part, n in spread], dim)
        for side in ("low", "high")
    )
    return gathered(extent, Scattered(low, high, max(part.slack for part, _ in spread)))


def moved(extent: int, axis: Axis, shape: Shape, move: Callable[[Tensor], Tensor], is_view: bool) -> Axis:
    """The axis behind an operation that only moves values, found by letting it move the row numbers."""
    if isinstance(axis, Line):
        found = axis if axis.dim is None else _moved_line(extent, axis, shape, move) if is_view else None
        if found is not None:
            return found
        if axis.stride == 0:
            return between(extent, axis.start, axis.start + axis.size, 1)
    if shape.numel() > _MOST:
        raise NoField("moves more values than can be followed one by one.")

    def applied(numbers: Tensor) -> Tensor:
        numbers = numbers.expand(shape)
        try:
            return move(numbers)
        except RuntimeError:  # a view for which they must lie one behind the other
            return move(numbers.contiguous())

    if isinstance(axis, Scattered):
        return gathered(extent, axis.each(applied))
    low = applied(spread_out(axis, shape).low)
    return gathered(extent, Scattered(low, low + axis.size, axis.stride))


def _moved_line(extent: int, axis: Line, shape: Shape, move: Callable[[Tensor], Tensor]) -> Line | None:
    """A view of a tensor whose addresses are the row numbers: its offset and its strides say where rows went."""
    try:
        view = move(
            torch.empty_strided(shape, [int(d == axis.dim) for d in range(len(shape))], device="meta")
        )
    except RuntimeError:  # no view: rows and other things end up in one dimension
        return None
    single = shape[axis.dim] == 1
    start = axis.start + view.storage_offset() * axis.stride
    # A dimension of one position lives on as one; not as the batch, which it may look like.
    dims = [
        d
        for d, n in enumerate(view.shape)
        if view.stride(d) and (n > 1) != single and (d or not axis.dim or n > 1)
    ]
    if not dims:
        return between(extent, start, start + axis.size, axis.stride)
    if single:
        return axis._replace(dim=axis.dim if axis.dim in dims else dims[-1])
    return Line(dims[0], start, axis.size, axis.stride * view.stride(dims[0])) if len(dims) == 1 else None


def public(extents: Shape, field: Field, shape: Shape) -> ReceptiveField:
    """The field of a tensor as a single size and stride; a vector of features sees what they see together.

    Raises NoField where its outputs see windows that are not evenly spaced.
    """
    lines = []
    for extent, axis in zip(extents, field.axes, strict=True):
        if isinstance(axis, Scattered):
            vector = len(shape) == 1 or (len(shape) == 2 and shape[0] == 1)
            channels = {1} if len(shape) > 3 else set()
            axis = summed(extent, axis, shape, range(len(shape)) if vector else channels)
        if isinstance(axis, Scattered):
            raise NoField("has outputs that see windows of different places, not evenly spaced.")
        lines.append(axis)
    size, stride, start = ((getattr(lines[0], n), getattr(lines[1], n)) for n in ("size", "stride", "start"))
    return ReceptiveField(size, stride, start)
