"""LeNet-5 as the lecture teaches it (LeCun et al. 1998, with every map of C3 seeing every map of S2)."""

import torch
from torch import nn

from course_utils.models.checks import check_choice, check_images, check_positive
from course_utils.models.layers import activation_layer

LENET_INPUT = 32  # pixels that C1 sees, the margin of 28-pixel images counted


class LeNet5(nn.Module):
    """Two convolutions, each followed by mean pooling, and three fully connected layers.

    The 1998 paper's own net differs: a table of connections in C3, trainable pooling, and radial basis functions
    at the output (its section II.B).
    """

    def __init__(self, num_classes: int, in_channels: int, input_size: int, activation: str) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels)
        check_choice("input_size", input_size, (28, LENET_INPUT))
        self.in_channels, self.input_size = in_channels, input_size
        margin = (LENET_INPUT - input_size) // 2
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5, padding=margin)  # 32x32 -> 28x28
        self.act1 = activation_layer(activation)
        self.s2 = nn.AvgPool2d(kernel_size=2)  # -> 14x14
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)  # -> 10x10
        self.act3 = activation_layer(activation)
        self.s4 = nn.AvgPool2d(kernel_size=2)  # -> 5x5
        self.flatten = nn.Flatten()
        self.f5 = nn.Linear(16 * 5 * 5, 120)
        self.act5 = activation_layer(activation)
        self.f6 = nn.Linear(120, 84)
        self.act6 = activation_layer(activation)
        self.output = nn.Linear(84, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits `[N, num_classes]` of images `[N, in_channels, input_size, input_size]`."""
        name = f"LeNet-5 (input_size={self.input_size})"
        check_images(images, self.in_channels, self.input_size, name, exact=True)
        maps = self.s2(self.act1(self.c1(images)))
        maps = self.s4(self.act3(self.c3(maps)))
        hidden = self.act5(self.f5(self.flatten(maps)))
        return self.output(self.act6(self.f6(hidden)))


def lenet5(num_classes=10, in_channels=1, input_size=LENET_INPUT, activation="tanh") -> LeNet5:
    """LeNet-5 for images of 32x32 pixels, or of 28x28 with `input_size=28`: 61,706 parameters either way.

    28-pixel images get a margin of 2 zeros in C1, so that all sizes are the lecture's. `activation` is "tanh" (1998),
    "relu" or "sigmoid". Raises ValueError for others, and in forward for images of another size.
    Source: lecture 12, table of LeNet's layers; LeCun et al. 1998, section II.B.
    """
    return LeNet5(num_classes, in_channels, input_size, activation)
