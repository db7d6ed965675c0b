"""What a receptive field is, and what becomes of it where values are summed, joined and slid over.

Along one axis output i sees [start + i * step, start + i * step + size). A window of kernel k, stride s,
padding p and dilation d makes of it
    start - p * step,    size + d * (k - 1) * step,    s * step.
Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

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


class Axis(NamedTuple):
    """What a tensor's elements see along one axis of an image that is `extent` pixels long.

    The element at index i sees `size` pixels from start + sum of i[d] * steps[d] on. Along a dimension whose step
    is None each sees some part of these pixels, unevenly spaced, and all together see all of them.
    """

    extent: int
    start: int
    size: int
    steps: tuple[int | None, ...]

    @property
    def is_constant(self) -> bool:
        """Whether all elements see the same."""
        return all(step == 0 for step in self.steps)

    @property
    def is_whole(self) -> bool:
        return self.is_constant and (self.start, self.size) == (0, self.extent)

    def window(self, dim: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Axis":
        """Behind a window that slides along a dimension."""
        step = self.steps[dim] or 0
        steps = (*self.steps[:dim], self.steps[dim] and step * stride, *self.steps[dim + 1 :])
        size = self.size + dilation * (kernel - 1) * step
        return Axis(self.extent, self.start - padding * step, size, steps)

    def summed(self, dims: Collection[int], shape: Shape, step: int | None = 0) -> "Axis":
        """Once every output depends on all positions along these dimensions, or, with `step` None, on some."""
        grown = [(shape[d] - 1) * (self.steps[d] or 0) for d in dims]
        steps = tuple(step if d in dims else old for d, old in enumerate(self.steps))
        seen = self._replace(size=self.size + sum(grown), steps=steps)
        return seen.ended(max(self.steps[d] or 0 for d in dims)) if dims else seen

    def ended(self, last: int) -> "Axis":
        """Where no step is left, a margin narrower than the last one, in which no window fits, counts as seen."""
        if any(self.steps) or self.start > 0 or self.start + self.size <= self.extent - max(last, 1):
            return self
        return self._replace(start=0, size=self.extent)

    def broadcast(self, given: Shape, shape: Shape) -> "Axis":
        """The axis of a tensor as that of the larger one to which it is broadcast."""
        more = len(shape) - len(given)
        steps = (0 if given[d] == 1 < shape[d + more] else step for d, step in enumerate(self.steps))
        return self if given == shape else self._replace(steps=(0,) * more + tuple(steps))


def united(axes: list[Axis], shape: Shape) -> Axis:
    """Element by element: the union of what the tensors, all of this shape, see."""
    whole = next((axis for axis in axes if axis.is_whole), None)
    if whole or all(axis == axes[0] for axis in axes):
        return whole or axes[0]
    for dim, n in enumerate(shape):
        steps = {axis.steps[dim] for axis in axes}
        if None in steps:
            axes = [axis.summed({dim}, shape, None) for axis in axes]
        elif len(steps) > 1 and n > 1:  # from one position no step leads anywhere
            found = " and ".join(map(str, sorted(steps)))
            raise NoField(f"joins branches that step differently over the input (strides {found}).")
    start = min(axis.start for axis in axes)
    size = max(axis.start + axis.size for axis in axes) - start
    steps = (None if None in steps else max(steps) for steps in zip(*(a.steps for a in axes), strict=True))
    return Axis(axes[0].extent, start, size, tuple(steps)).ended(1)


def joined(parts: list[tuple[Axis | None, Shape]], dim: int) -> Axis:
    """One behind the other along a dimension; None sees nothing."""
    axes = [axis for axis, _ in parts if axis is not None]
    first, at, follows = axes[0], 0, len(axes) == len(parts)
    for axis, shape in parts if follows else ():
        follows &= axis._replace(start=axis.start - at) == first
        at += shape[dim] * (axis.steps[dim] or 0)
    if follows:
        return first
    shape = max((shape for _, shape in parts), key=prod)
    return united([axis.summed({dim}, given, None) for axis, given in parts if axis is not None], shape)


class Field(NamedTuple):
    """Height's and width's axis of a tensor; none where there is no field.

    `why` is a sentence that names the layer at which they were lost, or no longer evenly spaced. `pooled` is True
    once nothing is left of a feature map but a summary.
    """

    axes: tuple[Axis, ...] = ()
    why: str = ""
    pooled: bool = False

    def public(self, shape: Shape) -> ReceptiveField:
        """As a single size and stride; a vector of features sees what they see together, and so do channels.

        Raises NoField where the outputs see windows that are not evenly spaced.
        """
        if not self.axes:
            raise NoField(self.why)
        found, along, n = [], [], len(shape)
        for axis in self.axes:
            if n == 1 or (n == 2 and shape[0] == 1):
                axis = axis.summed(range(n), shape)
            steps = [s for d, s in enumerate(axis.steps) if s != 0 and (s, d, n) != (None, 1, 4)]
            if len(steps) > 1 or None in steps:
                raise NoField(SCATTERED)
            found.append((axis.size, sum(steps), axis.start))
            along += [d for d, s in enumerate(axis.steps) if s]
        if along != sorted(along):
            raise NoField("has rows that run along the width of the image.")
        return ReceptiveField(*zip(*found, strict=True))


SCATTERED = "has outputs that see windows of different places, not evenly spaced."
