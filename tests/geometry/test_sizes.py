"""One layer: torch's own layers and the lecture's tables are the oracles."""

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.geometry import LayerSize, conv_layer, linear_layer, output_size, pool_layer

small = st.integers(0, 7)  # nought is among them on purpose: torch refuses it
sizes = st.integers(1, 24)
flag = st.booleans()
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


def shape_or_none(layer, in_shape):
    """What torch makes of the setting: an output shape, or None where it refuses."""
    try:
        return tuple(layer()(torch.zeros(1, *in_shape)).shape[1:])
    except (RuntimeError, ValueError, ZeroDivisionError):
        return None


def ours_or_none(compute):
    try:
        return compute()
    except ValueError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return None


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@settings(max_examples=3 * settings.default.max_examples)
@given(sizes, small, small, small, small)
def test_output_size_is_conv2ds(size, kernel, stride, padding, dilation):
    theirs = shape_or_none(lambda: nn.Conv2d(1, 1, kernel, stride, padding, dilation), (1, size, size))
    ours = ours_or_none(lambda: output_size(size, kernel, stride, padding, dilation))
    assert ours == (theirs and theirs[1])


@settings(max_examples=3 * settings.default.max_examples)
@given(sizes, small, small, small, small)
def test_output_size_in_ceil_mode_is_max_pool2ds(size, kernel, stride, padding, dilation):
    theirs = shape_or_none(
        lambda: nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=True), (1, size, size)
    )
    ours = ours_or_none(lambda: output_size(size, kernel, stride, padding, dilation, ceil_mode=True))
    assert ours == (theirs and theirs[1])


@settings(max_examples=3 * settings.default.max_examples)
@given(sizes, sizes, small, st.none() | small, small, small, flag)
def test_pool_layer_is_max_pool2d(height, width, kernel, stride, padding, dilation, ceil_mode):
    in_shape = (2, height, width)
    theirs = shape_or_none(
        lambda: nn.MaxPool2d(kernel, stride, padding, dilation, False, ceil_mode), in_shape
    )
    ours = ours_or_none(lambda: pool_layer(in_shape, kernel, stride, padding, dilation, ceil_mode).out_shape)
    assert ours == theirs


@settings(max_examples=3 * settings.default.max_examples)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.tuples(sizes, sizes),
    pairs,
    st.just(1) | pairs,
    st.integers(0, 3)
    | st.tuples(st.integers(0, 3), st.integers(0, 3))
    | st.sampled_from(["same", "valid", "full"]),
    pairs,
    st.integers(1, 4),
    flag,
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv_layer_is_conv2d(channels, out_channels, size, kernel, stride, padding, dilation, groups, bias):
    layers = []

    def build():
        layers.append(nn.Conv2d(channels, out_channels, kernel, stride, padding, dilation, groups, bias))
        return layers[0]

    in_shape = (channels, *size)
    theirs = shape_or_none(build, in_shape)
    ours = ours_or_none(
        lambda: conv_layer(in_shape, out_channels, kernel, stride, padding, dilation, groups, bias)
    )
    assert (ours and ours.out_shape) == theirs
    if ours:
        assert ours.weights == layers[0].weight.numel()
        assert ours.params == sum(p.numel() for p in layers[0].parameters())
        assert ours.macs == ours.connections == ours.units * layers[0].weight[0].numel()


@pytest.mark.parametrize("bad", [2.0, True, -1, "3", None, (1, 2, 3), np.float32(2)])
def test_output_size_takes_integers_only(bad):
    for keywords in (
        {"size": bad},
        {"kernel_size": bad},
        {"stride": bad},
        {"padding": bad},
        {"dilation": bad},
    ):
        with pytest.raises(ValueError, match=f"^{next(iter(keywords))} must be an integer"):
            output_size(**({"size": 9, "kernel_size": 3} | keywords))


def test_numpy_integers_count_as_integers():
    result = output_size(np.int64(227), np.int32(11), np.int8(4))
    assert result == 55 and type(result) is int


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv_layer((3, 8), 4, 3),
        lambda: conv_layer(8, 4, 3),
        lambda: conv_layer((3, 8, 8), 4, 3, padding="full"),
        lambda: conv_layer((3, 8, 8), 4, 3, padding="same", stride=2),
        lambda: conv_layer((3, 8, 8), 4, 3, groups=2),
        lambda: conv_layer((4, 8, 8), 3, 3, groups=2),
        lambda: conv_layer((3, 8, 8), 0, 3),
        lambda: conv_layer((3, 8, 8), 4, (3, 3, 3)),
        lambda: pool_layer((3, 8, 8), 3, padding=2),
        lambda: linear_layer(0, 3),
        lambda: linear_layer(3, 2.5),
    ],
)
def test_bad_settings_get_one_sentence(call):
    with pytest.raises(ValueError, match=r"^[^\n]+\.$"):
        call()


def test_layer_size_is_frozen():
    layer = linear_layer(3, 2)
    assert layer == LayerSize("linear", "linear", (3,), (2,), 2, 6, 2, 6, 6) and layer.params == 8
    with pytest.raises(FrozenInstanceError):
        layer.units = 3


def test_lenet_table_of_lecture_12():
    """Units, connections and weights as taught: all 16 maps of C3 see all 6 maps, biases left out."""
    c1 = conv_layer((1, 32, 32), 6, 5, bias=False)
    s2 = pool_layer(c1.out_shape, 2)
    c3 = conv_layer(s2.out_shape, 16, 5, bias=False)
    s4 = pool_layer(c3.out_shape, 2)
    f5, f6, out = (linear_layer(*pair, bias=False) for pair in pairwise((s4.units, 120, 84, 10)))
    layers = (c1, s2, c3, s4, f5, f6, out)
    assert [(layer.units, layer.connections, layer.weights) for layer in layers] == [
        (4_704, 117_600, 150),
        (1_176, 4_704, 0),
        (1_600, 240_000, 2_400),
        (400, 1_600, 0),
        (120, 48_000, 48_000),
        (84, 10_080, 10_080),
        (10, 840, 840),
    ]
    assert sum(layer.units for layer in layers) == 8_094
    assert sum(layer.connections for layer in layers) == 422_824
    assert sum(layer.weights for layer in layers) == 61_470


# Units, weights, connections and params of AlexNet's 2012 layers, as Tutorial 6 asks for them.
ALEXNET = [
    (290_400, 34_848, 105_415_200, 34_944),
    (186_624, 307_200, 223_948_800, 307_456),
    (64_896, 884_736, 149_520_384, 885_120),
    (64_896, 663_552, 112_140_288, 663_936),
    (43_264, 442_368, 74_760_192, 442_624),
    (4_096, 37_748_736, 37_748_736, 37_752_832),
    (4_096, 16_777_216, 16_777_216, 16_781_312),
    (1_000, 4_096_000, 4_096_000, 4_097_000),
]


def test_alexnet_table_of_tutorial_6():
    conv1 = conv_layer((3, 227, 227), 96, 11, stride=4)
    conv2 = conv_layer(pool_layer(conv1.out_shape, 3, 2).out_shape, 256, 5, padding=2, groups=2)
    conv3 = conv_layer(pool_layer(conv2.out_shape, 3, 2).out_shape, 384, 3, padding=1)
    conv4 = conv_layer(conv3.out_shape, 384, 3, padding=1, groups=2)
    conv5 = conv_layer(conv4.out_shape, 256, 3, padding=1, groups=2)
    fc6 = linear_layer(pool_layer(conv5.out_shape, 3, 2).units, 4096)
    layers = [conv1, conv2, conv3, conv4, conv5, fc6, linear_layer(4096, 4096), linear_layer(4096, 1000)]
    assert [(layer.units, layer.weights, layer.connections, layer.params) for layer in layers] == ALEXNET
    assert sum(layer.units for layer in layers) == 659_272
    assert sum(layer.macs for layer in layers) == 724_406_816
    assert sum(layer.params for layer in layers) == 60_965_224


def test_convolution_of_lecture_11_against_fully_connected():
    conv, full = conv_layer((16, 50, 50), 32, 5, padding=2), linear_layer(16 * 50 * 50, 32 * 50 * 50)
    assert (conv.weights, conv.connections) == (12_800, 32_000_000)
    assert full.connections == 100 * conv.connections and full.weights == 250_000 * conv.weights
