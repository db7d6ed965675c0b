"""What a receptive field is, and how a window makes a new one of it.

Along one axis output i sees [start + i * stride, start + i * stride + size). A window of kernel k, stride s,
padding p and dilation d makes of it
    start - p * stride,    size + d * (k - 1) * stride,    s * stride.
Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

from dataclasses import dataclass
from typing import NamedTuple


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


class Axis(NamedTuple):
    """The field along one axis; `dim` is the tensor dimension whose index is i (None: there is none)."""

    dim: int | None
    start: int
    size: int
    stride: int

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Axis":
        start, size = self.start - padding * self.stride, self.size + dilation * (kernel - 1) * self.stride
        return Axis(self.dim, start, size, self.stride * stride)


class NoField(Exception):
    """There is no single size and stride; the text, which follows the layer's name, says why."""


@dataclass(frozen=True)
class Unknown:
    """In place of a field where there is none: a sentence that names the layer at which it was lost."""

    reason: str


@dataclass(frozen=True)
class Field:
    """Both axes of a tensor; `pooled` once nothing is left of the feature map but a summary."""

    h: Axis
    w: Axis
    pooled: bool = False

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return self.h, self.w

    def public(self) -> ReceptiveField:
        size, stride, start = ((getattr(self.h, n), getattr(self.w, n)) for n in ("size", "stride", "start"))
        return ReceptiveField(size, stride, start)


@dataclass(frozen=True)
class Frame:
    """The input image, (height, width), and the fields that hold all of it."""

    extents: tuple[int, int]

    def everything(self) -> Field:
        return Field(self.whole(0, None), self.whole(1, None), pooled=True)

    def whole(self, index: int, dim: int | None) -> Axis:
        """The axis (0: height, 1: width) of a tensor whose every output sees the whole input."""
        return Axis(dim, 0, self.extents[index], 0)

    def is_whole(self, index: int, axis: Axis) -> bool:
        return axis.stride == 0 and axis.start <= 0 and axis.start + axis.size >= self.extents[index]
