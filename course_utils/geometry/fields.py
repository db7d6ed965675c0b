"""What a receptive field is, and what becomes of it where values are summed, joined and slid over.

Along one axis output i sees [start + i * step, start + i * step + size). A window of kernel k, stride s,
padding p and dilation d makes of it
    start - p * step,    size + d * (k - 1) * step,    s * step.
Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import prod

from course_utils.geometry.sizes import Shape


@dataclass(frozen=True)
class ReceptiveField:
    """What the outputs of a layer see of the input; each entry is a (height, width) pair in pixels.

    Output (0, 0) sees `size` pixels from `start` on, negative inside padding; the next output sees as much,
    `stride` further on. Stride 0: every output sees the same, as after global pooling.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of what output (row, column) sees: half open, not clipped to the image."""
        top, left = (a + i * s for a, i, s in zip(self.start, (row, column), self.stride, strict=True))
        return top, left, top + self.size[0], left + self.size[1]


class NoField(Exception):
    """There is no single size and stride; the text, which follows the layer's name, says why."""


@dataclass(frozen=True)
class Axis:
    """What a tensor's elements see along one axis of an image that is `extent` pixels long.

    The element at index i sees `size` pixels from start + sum of i[d] * steps[d] on. Where it is `flat`, all see
    the same, from `start` on, and steps only tell where rows went. Along dimensions that are `loose` each sees
    some part of these pixels that no step describes, and all together see all of them.
    """

    extent: int
    start: int
    size: int
    steps: tuple[int, ...]
    loose: frozenset[int] = frozenset()
    flat: bool = False

    @property
    def is_whole(self) -> bool:
        return self.flat and self.start <= 0 and self.start + self.size >= self.extent

    def window(self, dim: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Axis":
        """Behind a window that slides along a dimension."""
        step, steps = self.steps[dim], (*self.steps[:dim], self.steps[dim] * stride, *self.steps[dim + 1 :])
        if self.flat:
            return replace(self, steps=steps)
        start, size = self.start - padding * step, self.size + dilation * (kernel - 1) * step
        return replace(self, start=start, size=size, steps=steps)

    def summed(self, dims: Collection[int], shape: Shape, loose: Collection[int] = ()) -> "Axis":
        """Once every output depends on all positions along these dimensions; `loose` are left so.

        Where all that is left sees the same, a margin narrower than the last step, at which the next window
        would not fit, counts as seen.
        """
        steps = tuple(0 if d in dims else step for d, step in enumerate(self.steps))
        loose = (self.loose - set(dims)) | set(loose)
        if self.flat:
            return replace(self, steps=steps, loose=loose)
        start, size = self.start, self.size + sum((shape[d] - 1) * self.steps[d] for d in dims)
        ends = not any(steps)
        if ends and start <= 0 and start + size > self.extent - max(1, *(self.steps[d] for d in dims), 1):
            start, size = 0, self.extent
        return Axis(self.extent, start, size, steps, loose, ends and not loose)

    def without(self, dims: Collection[int]) -> "Axis":
        """The axis of the tensor without these dimensions, which were summed."""
        left = [d for d in range(len(self.steps)) if d not in dims]
        loose = frozenset(i for i, d in enumerate(left) if d in self.loose)
        return replace(self, steps=tuple(self.steps[d] for d in left), loose=loose)

    def broadcast(self, given: Shape, shape: Shape) -> "Axis":
        """The axis of a tensor as that of the larger one to which it is broadcast."""
        if given == shape:
            return self
        more = len(shape) - len(given)
        steps = [0 if given[d] == 1 < shape[d + more] else step for d, step in enumerate(self.steps)]
        return replace(self, steps=(0,) * more + tuple(steps), loose=frozenset(d + more for d in self.loose))


def united(axes: list[Axis], shape: Shape) -> Axis:
    """Element by element: the union of what the tensors, all of this shape, see."""
    if all(axis == axes[0] for axis in axes):
        return axes[0]
    loose = frozenset().union(*(axis.loose for axis in axes))
    axes = [a if a.flat or a.loose == loose else a.summed(loose - a.loose, shape, loose) for a in axes]
    tracked = tuple(max(steps) for steps in zip(*(axis.steps for axis in axes), strict=True))
    wholes = [axis for axis in axes if axis.is_whole]
    if wholes:
        loose = loose if all(axis.loose for axis in wholes) else frozenset()
        return Axis(axes[0].extent, 0, axes[0].extent, tracked, loose, True)
    for dim, n in enumerate(shape):
        steps = {0 if axis.flat else axis.steps[dim] for axis in axes}
        # With a single position there is no second one to which the step could lead.
        if len(steps) > 1 and n > 1:
            found = " and ".join(map(str, sorted(steps)))
            raise NoField(f"joins branches that step differently over the input (strides {found}).")
    start = min(axis.start for axis in axes)
    size = max(axis.start + axis.size for axis in axes) - start
    flat = not loose and all(axis.flat for axis in axes)
    return Axis(axes[0].extent, start, size, tracked, loose, flat)


def joined(parts: list[tuple[Axis | None, Shape]], dim: int) -> Axis:
    """One behind the other along a dimension; None sees nothing."""
    axes = [axis for axis, _ in parts if axis is not None]
    first, at, follows = axes[0], 0, len(axes) == len(parts)
    for axis, shape in parts if follows else ():
        follows &= replace(axis, start=axis.start - at * (not axis.flat)) == first
        at += shape[dim] * axis.steps[dim]
    if follows:
        return first
    shape = max((shape for _, shape in parts), key=prod)
    whole = united([axis.summed({dim}, given) for axis, given in parts if axis is not None], shape)
    return replace(whole, loose=whole.loose | {dim}, flat=whole.is_whole)


@dataclass(frozen=True)
class Field:
    """Height's and width's axis of a tensor; none where there is no field.

    `why` is a sentence that names the layer at which they were lost, or at which one became loose. `pooled` is
    True once nothing is left of a feature map but a summary.
    """

    axes: tuple[Axis, ...] = ()
    why: str = ""
    pooled: bool = False

    def is_map(self, shape: Shape) -> bool:
        """Whether rows and columns of the image are, or may be, rows and columns of the tensor of this shape."""
        if not self.axes or self.pooled or len(shape) != 4:
            return not self.axes
        rows, columns = ([d for d, step in enumerate(axis.steps) if step] for axis in self.axes)
        lost = any(axis.loose - {1} for axis in self.axes)
        return lost or (len(rows) == len(columns) == 1 and rows != columns)

    def public(self, shape: Shape) -> ReceptiveField:
        """As a single size and stride; a vector of features sees what they see together, and so do channels.

        Raises NoField where the outputs see windows that are not evenly spaced.
        """
        if not self.axes:
            raise NoField(self.why)
        vector, strides = len(shape) == 1 or (len(shape) == 2 and shape[0] == 1), []
        for axis in self.axes:
            axis = axis.summed(range(len(shape)), shape) if vector else axis
            steps = [step for step in axis.steps if step and not axis.flat]
            if axis.loose - {1} or (axis.loose and len(shape) != 4) or len(steps) > 1:
                raise NoField(SCATTERED)
            strides.append(sum(steps))
        size, start = (tuple(getattr(axis, n) for axis in self.axes) for n in ("size", "start"))
        return ReceptiveField(size, tuple(strides), start)


SCATTERED = "has outputs that see windows of different places, not evenly spaced."
