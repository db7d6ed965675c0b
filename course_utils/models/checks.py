"""Checks that every model of this package makes of its input and its arguments."""

from collections.abc import Iterable
from numbers import Integral

import torch
from torch import nn


def check_images(
    images: torch.Tensor, in_channels: int, min_size: int, model_name: str, exact: bool = False
) -> None:
    """Refuse a batch that the model cannot read, in one sentence.

    `images` must be a floating-point tensor `[N, in_channels, H, W]` with H and W of at least `min_size`
    pixels (`exact`: of just that many). While torch.fx traces the model, the check does nothing.
    Raises ValueError for a wrong number of dimensions, channels or pixels, or an integer dtype.
    """
    if isinstance(images, torch.fx.Proxy):
        return
    needs = f"{model_name} needs a batch of images [N, {in_channels}, H, W]"
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{needs}; got a {type(images).__name__}.")
    if images.dim() != 4:
        raise ValueError(f"{needs}; got a tensor of shape {list(images.shape)}.")
    if not images.is_floating_point():
        raise ValueError(f"{needs} of floating-point numbers; got {images.dtype}.")
    channels, height, width = images.shape[1:]
    if channels != in_channels:
        raise ValueError(f"{needs}; got {channels} channels, in the shape {list(images.shape)}.")
    if exact and (height, width) != (min_size, min_size):
        raise ValueError(f"{model_name} needs {min_size}x{min_size} pixels; got {height}x{width}.")
    if min(height, width) < min_size:
        raise ValueError(f"{model_name} needs at least {min_size}x{min_size} pixels; got {height}x{width}.")


def check_choice(name: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse an argument that is not one of `allowed` by a ValueError that lists them."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}.")


def check_positive(**values: int) -> None:
    """Refuse what is not a whole number of at least 1 by a ValueError: `check_positive(width=width)`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")


def check_stem(stem: tuple[int, int, int] | None) -> None:
    """Refuse a first convolution that is not three whole numbers (kernel_size, stride, padding), or None."""
    if stem is None:
        return
    whole = isinstance(stem, tuple | list) and len(stem) == 3 and all(isinstance(n, int) for n in stem)
    if not whole or min(stem[:2]) < 1 or stem[2] < 0:
        raise ValueError(f"stem must be (kernel_size, stride, padding), such as (3, 2, 1); got {stem!r}.")


def smallest_size(layers: Iterable[nn.Module], size: int = 1) -> int:
    """Side in pixels of the smallest square image that leaves `size` positions a side after a chain of layers.

    Layers without a kernel (ReLU, batch norm, ...) keep the size and are passed over.
    """
    for layer in reversed(list(layers)):
        if not hasattr(layer, "kernel_size"):
            continue
        kernel, stride = _side(layer.kernel_size), _side(layer.stride)
        padding, dilation = _side(layer.padding), _side(getattr(layer, "dilation", 1))
        steps = (size - 1) * stride
        if getattr(layer, "ceil_mode", False):  # one pixel of the last step is enough
            steps -= stride - 1
        size = max(1, steps + dilation * (kernel - 1) + 1 - 2 * padding)
    return size


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]
