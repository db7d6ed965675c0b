import re

import pytest
import torch
from torch import nn

from course_utils.models.checks import (
    check_choice,
    check_images,
    check_positive,
    smallest_size,
)


class Checked(nn.Module):
    def forward(self, images):
        check_images(images, 3, 8, "A net")
        return images * 2


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (torch.zeros(2, 1, 8, 8), "torch.float32 [2, 1, 8, 8]"),
        (torch.zeros(3, 8, 8), "torch.float32 [3, 8, 8]"),
        (torch.zeros(2, 3, 8, 7), "torch.float32 [2, 3, 8, 7]"),
        (torch.zeros(2, 3, 8, 0), "torch.float32 [2, 3, 8, 0]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "torch.uint8 [2, 3, 8, 8]"),
        ([[1.0]], "list"),
    ],
)
def test_images_that_do_not_fit_get_one_sentence(images, given):
    needed = "A net needs a batch of float images [N, 3, H, W] of at least 8x8 pixels"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{needed}; got {given}.')}$"):
        Checked()(images)


def test_exact_size():
    check_images(torch.zeros(0, 1, 28, 28), 1, 28, "A net", exact=True)
    with pytest.raises(ValueError, match=r" of 28x28 pixels; got .*28, 32\]"):
        check_images(torch.zeros(1, 1, 28, 32), 1, 28, "A net", exact=True)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"colour must be one of 'red', 'blue'; got 'green'\."):
        check_choice("colour", "green", ("red", "blue"))
    for value in (0, -1, 1.5, True, "3"):
        with pytest.raises(ValueError, match="width must be a whole number of at least 1"):
            check_positive(width=value)


@pytest.mark.parametrize("seed", range(30))
def test_smallest_size_is_where_torch_starts_to_work(seed):
    draw = lambda low, high: int(torch.randint(low, high, (), generator=generator))  # noqa: E731
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential()
    for _ in range(draw(1, 6)):
        kernel = draw(1, 6)
        if draw(0, 2):
            ceil = bool(draw(0, 2))
            layers.append(nn.MaxPool2d(kernel, draw(1, 4), padding=draw(0, kernel // 2 + 1), ceil_mode=ceil))
        else:
            layers.append(nn.Conv2d(1, 1, kernel, draw(1, 4), padding=draw(0, 3), dilation=draw(1, 3)))
    layers.append(nn.ReLU())

    def fits(size):
        try:
            return layers(torch.empty(1, 1, size, size, device="meta")).numel() > 0
        except RuntimeError:
            return False

    layers.to("meta")
    assert smallest_size(layers) == next(size for size in range(1, 5000) if fits(size))
