"""The arithmetic of one layer: output size, units, weights, connections and multiply-adds."""

from dataclasses import dataclass
from math import prod
from numbers import Integral

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSize:
    """One layer in the lecture's terms.

    Shapes are without the batch. `units` are output values, `weights` learnable weights without biases, `connections`
    the (input, output) pairs that a multiplication joins, pairs with padding included, and `macs` the multiply-adds of
    one input (biases not counted). Pooling joins each output with its window: connections, but no multiply-adds.
    Source: R. Grosse, CSC321 lecture 12, "Size of a conv net".
    """

    name: str
    kind: str
    in_shape: Shape
    out_shape: Shape
    units: int
    weights: int
    biases: int
    connections: int
    macs: int

    @property
    def params(self) -> int:
        """Learnable numbers: weights and biases."""
        return self.weights + self.biases


def output_size(size: int, kernel_size: int, stride=1, padding=0, dilation=1, ceil_mode=False) -> int:
    """Number of positions at which a kernel fits along one axis.

    `padding` is added on both sides. `ceil_mode` is pooling's: a last window may hang over the far edge if it starts
    inside the input or the padding before it, and the padding is at most half the kernel (convolution takes any).
    Raises ValueError where torch refuses the setting: a kernel larger than the padded input, say.
    Source: Dumoulin & Visin 2016, relationship 14; torch's `pooling_output_shape` for ceil mode.
    """
    size, kernel_size = checked_integer("size", size, 1), checked_integer("kernel_size", kernel_size, 1)
    stride, dilation = checked_integer("stride", stride, 1), checked_integer("dilation", dilation, 1)
    padding = checked_integer("padding", padding, 0)
    if ceil_mode:
        _check_pool_padding(padding, kernel_size)
    reach, padded = dilation * (kernel_size - 1) + 1, size + 2 * padding
    positions = (padded - reach + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (positions - 1) * stride >= size + padding:
        positions -= 1
    if positions < 1:
        where = f"{padded} (size {size}, padding {padding} on both sides); it may reach over at most {padded}"
        raise ValueError(f"A kernel that reaches over {reach} positions does not fit into {where}.")
    return positions


def conv_layer(
    in_shape: Shape, out_channels: int, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True
) -> LayerSize:
    """Size and cost of a 2-D convolution on an input of shape (channels, height, width).

    Arguments are those of `nn.Conv2d`: an int or a (height, width) pair, padding also "same" or "valid".
    Raises ValueError for every setting that torch refuses.
    """
    channels, *size = in_shape = _image_shape(in_shape)
    out_channels = checked_integer("out_channels", out_channels, 1)
    groups = checked_integer("groups", groups, 1)
    for name, count in (("in_channels", channels), ("out_channels", out_channels)):
        if count % groups:
            raise ValueError(f"{name} {count} cannot be split into {groups} equal groups; it must divide.")
    kernel, strides = _pair("kernel_size", kernel_size, 1), _pair("stride", stride, 1)
    dilations = _pair("dilation", dilation, 1)
    if padding == "same" and strides != (1, 1):
        raise ValueError(f'padding "same" needs stride 1, got stride {stride}.')
    if padding != "same":
        pads = (0, 0) if padding == "valid" else _pair("padding", padding, 0, or_else=' or "same" or "valid"')
        size = map(output_size, size, kernel, strides, pads, dilations)
    out_shape = (out_channels, *size)
    weights = out_channels * (channels // groups) * prod(kernel)
    return _layer("conv", in_shape, out_shape, weights, bias, prod(out_shape[1:]) * weights)


def pool_layer(in_shape: Shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The LayerSize of a 2-D pooling layer on an input of shape (channels, height, width).

    Arguments are those of `nn.MaxPool2d`, ints or (height, width) pairs; no stride is the kernel size.
    Raises ValueError for every setting that torch refuses, such as a padding of more than half the kernel.
    """
    channels, *size = in_shape = _image_shape(in_shape)
    kernel = _pair("kernel_size", kernel_size, 1)
    strides = kernel if stride is None else _pair("stride", stride, 1)
    pads, dilations = _pair("padding", padding, 0), _pair("dilation", dilation, 1)
    for pad, extent in zip(pads, kernel, strict=True):
        _check_pool_padding(pad, extent)
    out_shape = (channels, *map(output_size, size, kernel, strides, pads, dilations, [ceil_mode] * 2))
    return _layer("pool", in_shape, out_shape, 0, False, prod(out_shape) * prod(kernel))


def linear_layer(in_features: int, out_features: int, bias: bool = True) -> LayerSize:
    """Size and cost of a fully connected layer: every input joined with every output.

    Raises ValueError where a number of features is not a positive integer.
    """
    inputs = checked_integer("in_features", in_features, 1)
    outputs = checked_integer("out_features", out_features, 1)
    return _layer("linear", (inputs,), (outputs,), inputs * outputs, bias, inputs * outputs)


def _layer(kind: str, in_shape: Shape, out_shape: Shape, weights: int, bias: bool, pairs: int) -> LayerSize:
    biases, macs = out_shape[0] if bias else 0, pairs if weights else 0
    return LayerSize(kind, kind, in_shape, out_shape, prod(out_shape), weights, biases, pairs, macs)


def checked_integer(name: str, value: object, least: int) -> int:
    """`value` as an int, or a ValueError that says what `name` may be."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    return int(value)


def _pair(name: str, value: object, least: int, or_else: str = "") -> tuple[int, int]:
    """`value` as (height, width): an int counts for both."""
    pair = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    try:
        return checked_integer(name, pair[0], least), checked_integer(name, pair[1], least)
    except ValueError:
        allowed = f"an integer of at least {least} or a pair of them{or_else}"
        raise ValueError(f"{name} must be {allowed}, got {value!r}.") from None


def _image_shape(in_shape: object) -> Shape:
    if not isinstance(in_shape, tuple | list) or len(in_shape) != 3:
        raise ValueError(f"in_shape must be (channels, height, width), got {in_shape!r}.")
    names = ("channels", "height", "width")
    return tuple(checked_integer(name, n, 1) for name, n in zip(names, in_shape, strict=True))


def _check_pool_padding(padding: int, kernel_size: int) -> None:
    if padding > (most := kernel_size // 2):
        raise ValueError(f"Pooling takes a padding of at most half the kernel ({most}), got {padding}.")
