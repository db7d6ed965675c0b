"""Refusals of the networks, each in one sentence, and the smallest image that a network can read."""

from collections.abc import Iterable

import torch
from torch import nn

from course_utils.words import check_whole, described

check_positive = check_whole  # by default of at least 1


def check_images(images: object, in_channels: int, min_size: int, model_name: str, exact=False) -> None:
    """Refuse what is no float batch `[N, in_channels, H, W]` of sides of at least, or `exact`ly, `min_size`."""
    is_batch = isinstance(images, torch.Tensor) and images.ndim == 4 and images.is_floating_point()
    sides = images.shape[2:] if is_batch and images.shape[1] == in_channels else (0,)
    if min(sides) < min_size or (exact and max(sides) > min_size):
        size = f"{'' if exact else 'at least '}{min_size}x{min_size} pixels"
        needs = f"{model_name} needs a batch of float images [N, {in_channels}, H, W] of {size}"
        raise ValueError(f"{needs}; got {described(images)}.")


def check_choice(name: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse an argument that is not one of `allowed` by a ValueError that lists them."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}.")


def smallest_size(layers: Iterable[nn.Module]) -> int:
    """Side in pixels of the smallest square image that leaves one position; layers without a kernel are passed over."""
    size = 1
    for layer in reversed([layer for layer in layers if hasattr(layer, "kernel_size")]):
        sizes = layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1)
        kernel, stride, padding, dilation = (n if isinstance(n, int) else n[0] for n in sizes)
        steps = (size - 1) * stride
        steps -= (stride - 1) * getattr(layer, "ceil_mode", False)  # one pixel of the last step is enough
        size = max(1, steps + dilation * (kernel - 1) + 1 - 2 * padding)
    return size
