"""What a receptive field is, and what becomes of it where values are summed, joined and slid over.

Along one axis output i sees [start + i * step, start + i * step + size). A window of kernel k, stride s,
padding p and dilation d makes of it
    start - p * step,    size + d * (k - 1) * step,    s * step.
Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from course_utils.geometry.sizes import Shape

SCATTERED = "has outputs that see windows of different places, not evenly spaced."


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
        return all(step == 0 for step in self.steps)

    @property
    def is_whole(self) -> bool:
        return self.is_constant and (self.start, self.size) == (0, self.extent)

    def window(self, dim: int, kernel: int, stride: int | None = 1, before: int = 0, dilation: int = 1):
        """Behind windows along a dimension, the first of which begins some positions before it.

        They are evenly spaced, or of stride 0 (all outputs see the same) or None (some uneven places).
        """
        step = self.steps[dim] or 0
        new = (self.steps[dim] and step * stride) if stride else stride
        start, size = self.start - before * step, self.size + dilation * (kernel - 1) * step
        seen = Axis(self.extent, start, size, (*self.steps[:dim], new, *self.steps[dim + 1 :]))
        return seen if stride or not dilation else seen.ended(step)

    def ended(self, last: int) -> "Axis":
        """Where no step is left, a margin narrower than the last one, in which no window fits, counts as seen."""
        if any(self.steps) or self.start > 0 or self.start + self.size <= self.extent - max(last, 1):
            return self
        return self._replace(start=0, size=self.extent)


def united(axes: list[Axis], shape: Shape) -> Axis:
    """Element by element: the union of what the tensors, all of this shape, see."""
    whole = next((axis for axis in axes if axis.is_whole), None)
    if whole or all(axis == axes[0] for axis in axes):
        return whole or axes[0]
    steps = [{axis.steps[dim] for axis in axes} for dim in range(len(shape))]
    for found, n in zip(steps, shape, strict=True):
        if len(found) > 1 < n and None not in found:  # from one position no step leads anywhere
            strides = " and ".join(map(str, sorted(found)))
            raise NoField(f"joins branches that step differently over the input (strides {strides}).")
    for dim in (dim for dim, found in enumerate(steps) if None in found):
        axes = [axis.window(dim, shape[dim], None) for axis in axes]
    start, end = min(axis.start for axis in axes), max(axis.start + axis.size for axis in axes)
    steps = tuple(None if None in found else max(found) for found in steps)
    return Axis(axes[0].extent, start, end - start, steps).ended(1)


def joined(parts: list[tuple[Axis | None, Shape]], dim: int) -> Axis:
    """Side by side along a dimension; None sees nothing."""
    axes = [axis for axis, _ in parts if axis]
    if len(axes) < len(parts) or any(axis != axes[0] or axis.steps[dim] for axis in axes):
        axes = [axis.window(dim, shape[dim], None) for axis, shape in parts if axis]
    return united(axes, max((shape for _, shape in parts), key=prod))


class Field(NamedTuple):
    """Height's and width's axis of a tensor; none where there is no field.

    `why` is a sentence that names the layer at which they were lost, or no longer evenly spaced. `pooled` is True
    once nothing is left of a feature map but a summary.
    """

    axes: tuple[Axis, ...] = ()
    why: str = ""
    pooled: bool = False

    def public(self, shape: Shape, label: str) -> ReceptiveField:
        """As a single size and stride; a vector of features sees what they see together, and so do channels.

        Raises ValueError, a sentence that begins with the layer's label, where that is not known or none.
        """
        found, along, n = [], [], len(shape)
        for axis in self.axes:
            for d in range(n if n == 1 or (n == 2 and shape[0] == 1) else 0):
                axis = axis.window(d, shape[d], 0)
            steps = [s for d, s in enumerate(axis.steps) if s != 0 and (s, d, n) != (None, 1, 4)]
            if len(steps) > 1 or None in steps:
                raise ValueError(self.why or f"{label} {SCATTERED}")
            found.append((axis.size, sum(steps), axis.start))
            along += [d for d, s in enumerate(axis.steps) if s]
        if not self.axes or along != sorted(along):
            raise ValueError(self.why or f"{label} has rows that run along the width of the image.")
        return ReceptiveField(*zip(*found, strict=True))
