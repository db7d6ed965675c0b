"""What a receptive field is, and how a window makes a new one of it.

Along one axis output i sees [start + i * stride, start + i * stride + size). A window of kernel k, stride s,
padding p and dilation d makes of it
    start - p * stride,    size + d * (k - 1) * stride,    s * stride.
Source: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".
"""

from dataclasses import dataclass
from typing import Any, NamedTuple


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


class Line(NamedTuple):
    """Evenly spaced windows along one axis; `dim` is the tensor dimension whose index is i (None: there is none)."""

    dim: int | None
    start: int
    size: int
    stride: int

    @property
    def dims(self) -> tuple[int, ...]:
        return () if self.dim is None else (self.dim,)

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Line":
        start, size = self.start - padding * self.stride, self.size + dilation * (kernel - 1) * self.stride
        return Line(self.dim, start, size, self.stride * stride)


class NoField(Exception):
    """There is no single size and stride; the text, which follows the layer's name, says why."""


@dataclass(frozen=True)
class Unknown:
    """In place of a field where there is none: a sentence that names the layer at which it was lost.

    `covers`: all outputs together still see the whole input, so that a mean over them does.
    """

    reason: str
    covers: bool = False


@dataclass(frozen=True)
class Field:
    """Height's and width's axis of a tensor, each a `Line` or `places.Scattered`; `pooled` once a summary is left."""

    axes: tuple[Any, Any]
    pooled: bool = False

    @property
    def is_map(self) -> bool:
        """Whether rows and columns of the image are still rows and columns of the tensor."""
        rows, columns = (axis.dims for axis in self.axes)
        return not self.pooled and len(rows) == len(columns) == 1 and rows != columns
